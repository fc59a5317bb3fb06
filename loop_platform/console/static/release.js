// A move is asked for here, and made by the release controller.
const moves = document.querySelector(".moves");
const notice = document.getElementById("notice");

moves?.addEventListener("click", async (event) => {
  const move = event.target.dataset.move;
  if (!move) return;
  const reason = prompt(`Why ${move} ${moves.dataset.release}? The audit log keeps your words.`);
  if (!reason?.trim()) return;
  notice.textContent = "Asked…";
  const answer = await fetch(`/api/releases/${moves.dataset.release}/${move}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ reason }),
  });
  const said = await answer.json();
  if (!answer.ok) notice.textContent = said.error.message;
  else if (said.done) location.reload();
  else notice.textContent = "Asked for; the controller has not answered yet.";
});
