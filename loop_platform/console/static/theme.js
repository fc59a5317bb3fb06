// Light, dark, or what the system says; remembered in this browser.
const remembered = localStorage.getItem("loop-theme");
if (remembered) document.documentElement.dataset.theme = remembered;

document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("theme")?.addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    localStorage.setItem("loop-theme", next);
  });
});
