// The gallery reads without this script; it plays what is in view, keeps a truth beside its clip, and can stop it all.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const videos = all(".clip video"), gifs = all(".clip img[data-moving]");
  const button = document.querySelector("#moving");
  if (!videos.length && !gifs.length) return;
  let moving = !matchMedia("(prefers-reduced-motion: reduce)").matches;
  const inView = new Set();

  function play(video) { video.play().catch(() => { /* the browser forbids it: the controls remain */ }); }

  function apply() {
    for (const video of videos) if (moving && inView.has(video)) play(video); else video.pause();
    for (const gif of gifs) {
      const wanted = moving ? gif.dataset.moving : gif.dataset.still;
      if (gif.getAttribute("src") !== wanted) gif.setAttribute("src", wanted);
    }
    button.textContent = moving ? "Pause all" : "Play all";
  }

  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) inView.add(target); else inView.delete(target);
      if (!isIntersecting) target.pause(); else if (moving) play(target);
    }
  });
  for (const video of videos) watch.observe(video);

  // a truth shows the moment of the clip beside it
  for (const stages of all(".stages")) {
    const [first, second] = all("video", stages);
    if (!second) continue;
    const follow = () => {
      const at = Math.min(first.currentTime, second.duration || 0);
      if (Math.abs(second.currentTime - at) > 0.1) second.currentTime = at;
    };
    for (const event of ["timeupdate", "seeked", "pause"]) first.addEventListener(event, follow);
  }

  button.addEventListener("click", () => { moving = !moving; apply(); });
  button.parentElement.hidden = false;
  apply();
})();
