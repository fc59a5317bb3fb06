// Keeps the overview current while somebody looks at it.
const shown = document.getElementById("loop");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/fragments/overview");
    if (answer.status === 401) location.reload();
    shown.classList.toggle("stale", !answer.ok);
    if (answer.ok) shown.innerHTML = await answer.text();
  } catch {
    shown.classList.add("stale"); // the console is away: it shows the last it knew, greyed
  }
}

setInterval(refresh, 3000);
