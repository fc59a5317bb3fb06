// The review desk: one item at a time, a key for each verdict.
const place = document.getElementById("item");
const notice = document.getElementById("notice");
const keys = { a: "accept", c: "correct", r: "reject", m: "malicious", s: "skip" };
const done = { accept: "Accepted", correct: "Corrected", reject: "Rejected", malicious: "Marked malicious", skip: "Skipped" };
const idleMs = 4000;
let busy = false;
let leaseEnds = 0;

const article = () => place.querySelector("article");
const editor = () => document.getElementById("editor");

function say(text, kind = "") {
  notice.textContent = text;
  notice.className = kind;
}

function arrived() {
  const item = article();
  leaseEnds = item ? Date.now() + 1000 * Number(item.dataset.lease) : 0;
  if (!item) setTimeout(load, idleMs);
}

async function load() {
  try {
    const answer = await fetch("/fragments/review");
    if (answer.status === 401) return location.reload();
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    place.innerHTML = await answer.text();
    scrollTo(0, 0);
  } catch (error) {
    say(`Could not get the next item: ${error.message}`, "bad");
  }
  arrived();
}

async function decide(verdict, chosen) {
  const item = article();
  if (!item || busy) return;
  busy = true;
  item.classList.add("leaving");
  try {
    const answer = await fetch(`/api/review/${item.dataset.item}/decision`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ verdict, chosen }),
    });
    const said = await answer.json();
    if (answer.ok) say(`${done[verdict]}.`, verdict);
    else say(said.error.message, "bad");
    if (answer.ok || answer.status === 409) await load();
    else item.classList.remove("leaving");
  } catch {
    say("The console does not answer; nothing was recorded. Try again.", "bad");
    item.classList.remove("leaving");
  } finally {
    busy = false;
  }
}

function open() {
  editor().hidden = false;
  const field = document.getElementById("chosen");
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
  editor().scrollIntoView({ block: "nearest" });
}

function choose(verdict) {
  if (verdict === "accept" && article()?.dataset.proposed !== "yes") {
    return say("Nobody proposed an answer: correct it, or reject it.", "bad");
  }
  if (verdict !== "correct") return decide(verdict);
  if (editor().hidden) return open();
  return decide("correct", document.getElementById("chosen").value);
}

document.addEventListener("keydown", (event) => {
  if (event.target.id === "chosen") {
    if (event.key === "Escape") {
      editor().hidden = true;
      event.target.blur();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      decide("correct", event.target.value);
    }
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const verdict = keys[event.key.toLowerCase()];
  if (verdict && article()) {
    event.preventDefault();
    choose(verdict);
  }
});

place.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-verdict]");
  if (button) choose(button.dataset.verdict);
});

setInterval(() => {
  const shown = document.getElementById("lease");
  if (!shown || !leaseEnds) return;
  const left = Math.round((leaseEnds - Date.now()) / 1000);
  if (left <= 0) {
    shown.textContent = "no longer yours alone";
    return;
  }
  shown.textContent = `yours for ${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
}, 1000);

arrived();
