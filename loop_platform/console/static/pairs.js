// One pair at a time, a key for each verdict.
const place = document.getElementById("item");
const notice = document.getElementById("notice");
const keys = { arrowleft: "left", arrowright: "right", 1: "left", 2: "right", t: "tie", b: "both bad", s: "skip" };
const idleMs = 4000;
let busy = false;

const shown = () => place.querySelector("article");

function say(text, kind = "") {
  notice.textContent = text;
  notice.className = kind;
}

// Throws a sentence where the console refuses.
async function asked(address, options) {
  const answer = await fetch(address, options);
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error((await answer.json()).error.message);
  return answer.text();
}

async function load() {
  try {
    place.innerHTML = await asked("/fragments/pair");
    scrollTo(0, 0);
  } catch (error) {
    say(`Could not get the next pair: ${error.message}`, "bad");
  }
  waitIfIdle();
}

async function judge(verdict) {
  const pair = shown();
  if (!pair || busy) return;
  busy = true;
  pair.classList.add("leaving");
  try {
    await asked(`/api/pairs/${pair.dataset.pair}/verdict`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ verdict }),
    });
    say(verdict === "skip" ? "Skipped." : `Said: ${verdict}.`, "accept");
    await load();
  } catch (error) {
    say(`Nothing was recorded: ${error.message}`, "bad");
    pair.classList.remove("leaving");
  } finally {
    busy = false;
  }
}

function waitIfIdle() {
  if (!shown()) setTimeout(load, idleMs);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const verdict = keys[event.key.toLowerCase()];
  if (verdict && shown()) {
    event.preventDefault();
    judge(verdict);
  }
});

place.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-verdict]");
  if (button) judge(button.dataset.verdict);
});

waitIfIdle();
