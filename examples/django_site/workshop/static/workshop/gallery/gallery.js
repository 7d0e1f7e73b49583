// Tells how many pictures have come.

"use strict";

addEventListener("load", () => {
  const pictures = [...document.querySelectorAll(".gallery img")];
  const shown = pictures.filter((picture) => picture.naturalWidth > 0);
  document.querySelector("#count").textContent = `${shown.length} of ${pictures.length}`;
});
