"use strict";

// The page is complete without this script; it adds the zoom and quicker tool tips.
const zoom = document.getElementById("zoom");
const lanes = document.getElementById("lanes");
if (zoom && lanes) {
  zoom.addEventListener("input", () => lanes.style.setProperty("--zoom", zoom.value));
}

const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
document.body.append(tip);

for (const bar of document.querySelectorAll(".bar")) {
  const text = bar.title;
  bar.removeAttribute("title");
  bar.setAttribute("aria-label", text);
  bar.addEventListener("pointerenter", () => {
    tip.textContent = text;
    tip.hidden = false;
  });
  bar.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
  bar.addEventListener("pointermove", (event) => {
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 8);
    const below = event.clientY + 18;
    const fits = below + box.height < window.innerHeight;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${fits ? below : event.clientY - box.height - 12}px`;
  });
}
