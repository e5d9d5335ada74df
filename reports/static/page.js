// The page reads without this script; it adds the read-outs, the players' shared cursor, the choice of episodes, the theme.
"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const svgNumber = (svg, name) => Number(svg.dataset[name]);

  // --- charts: a cursor and the numbers under it -------------------------------------------------------------------
  function nearest(hs, h) {
    let best = 0;
    for (let i = 1; i < hs.length; i++) if (Math.abs(hs[i] - h) < Math.abs(hs[best] - h)) best = i;
    return best;
  }

  function showAt(figure, h) {
    const svg = one("svg", figure), cursor = one(".cursor", svg), out = one(".readout", figure);
    const [x0, x1, h0, h1] = ["x0", "x1", "h0", "h1"].map((name) => svgNumber(svg, name));
    out.textContent = "";
    if (h === null || h < h0 || h > h1) { cursor.setAttribute("visibility", "hidden"); delete figure.dataset.h; return; }
    const x = h1 > h0 ? x0 + (x1 - x0) * (h - h0) / (h1 - h0) : (x0 + x1) / 2;
    cursor.setAttribute("x1", x); cursor.setAttribute("x2", x); cursor.setAttribute("visibility", "visible");
    figure.dataset.h = h;
    const add = (text, kind, strong) => {
      const span = document.createElement("span"), b = document.createElement("b");
      b.textContent = strong; b.className = kind; span.append(text + " ", b); out.append(span);
    };
    const measured = figure.lines[0].h[nearest(figure.lines[0].h, h)]; // not every step is scored
    add("step", "", measured === h ? String(h) : `${h}, scored at ${measured}`);
    for (const line of figure.lines) add(line.name, line.kind, line.text[nearest(line.h, h)]);
  }

  function prepareChart(figure) {
    const svg = one("svg", figure);
    figure.lines = JSON.parse(one("script", figure).textContent);
    const [x0, x1, h0, h1] = ["x0", "x1", "h0", "h1"].map((name) => svgNumber(svg, name));
    const player = figure.closest(".player"), hs = figure.lines[0].h;
    const go = (h) => {
      h = Math.min(h1, Math.max(h0, Math.round(h)));
      if (player) player.seekHorizon(h); else showAt(figure, hs[nearest(hs, h)]);
    };
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
      return h0 + (h1 - h0) * (x - x0) / (x1 - x0);
    };
    svg.addEventListener("pointermove", (event) => { if (!player || event.buttons) go(at(event)); });
    svg.addEventListener("pointerdown", (event) => go(at(event)));
    svg.addEventListener("pointerleave", () => { if (!player) showAt(figure, null); });
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
      if (step === undefined) return;
      event.preventDefault(); event.stopPropagation();
      if (figure.dataset.h === undefined || !isFinite(step)) { go(step === Infinity ? h1 : h0); return; }
      const now = Number(figure.dataset.h), next = hs[nearest(hs, now) + step];
      go(player || next === undefined ? now + step : next);
    });
  }

  // --- players: slider, video and the episode's curves show the same moment ----------------------------------------
  function preparePlayer(player) {
    const video = one("video", player), slider = one("input[type=range]", player), where = one(".where", player);
    const play = one(".play", player), charts = all("figure.curve", player);
    const frames = Number(player.dataset.frames), fps = Number(player.dataset.fps);
    const context = Number(player.dataset.context), first = Math.max(context, 1) - 1; // horizon h is frame first + h
    let frame = 0, clock = 0, asked = false;

    function show(next) {
      frame = Math.min(frames - 1, Math.max(0, next));
      slider.value = frame;
      const h = frame - first;
      const said = h > 0 ? `step ${h} · ${(h / fps).toFixed(2)} s` : `context ${frame + 1} of ${Math.max(context, 1)}`;
      where.textContent = said;
      slider.setAttribute("aria-valuetext", said);
      player.dataset.frame = frame;
      for (const chart of charts) showAt(chart, h > 0 ? h : null);
    }
    function seek(next) {
      pause();
      show(next);
      if (!video) return;
      if (video.readyState > 0) place();
      else if (!asked) { // nothing is loaded before the first touch
        asked = true;
        video.addEventListener("loadedmetadata", place, { once: true });
        video.preload = "auto"; video.load();
      }
    }
    function place() { video.currentTime = (frame + 0.5) / fps; } // the middle of a frame: rounding cannot miss it
    function tick() {
      show(Math.floor(video.currentTime * fps + 1e-3));
      if (!video.paused && !video.ended) clock = requestAnimationFrame(tick); else stopped();
    }
    function stopped() { cancelAnimationFrame(clock); play.textContent = "▶"; play.setAttribute("aria-label", "Play"); }
    function pause() { if (video) video.pause(); stopped(); }
    function toggle() {
      if (!video) return;
      if (!video.paused) { pause(); return; }
      if (frame >= frames - 1) video.currentTime = 0;
      play.textContent = "❚❚"; play.setAttribute("aria-label", "Pause");
      video.play().then(() => { clock = requestAnimationFrame(tick); }, stopped);
    }

    player.seekHorizon = (h) => seek(first + h);
    slider.addEventListener("input", () => seek(Number(slider.value)));
    play.addEventListener("click", toggle);
    one(".back", player).addEventListener("click", () => seek(frame - 1));
    one(".next", player).addEventListener("click", () => seek(frame + 1));
    for (const jump of all(".jump", player)) jump.addEventListener("click", () => seek(Number(jump.dataset.frame)));
    if (video) { video.addEventListener("click", toggle); video.addEventListener("ended", stopped); }
    player.addEventListener("keydown", (event) => {
      if (event.target.closest("button, select, input, a") && event.key === " ") return;
      if (event.target === slider && event.key !== " ") return; // the slider has its own keys
      const keys = {
        " ": toggle, ArrowLeft: () => seek(frame - 1), ArrowRight: () => seek(frame + 1),
        Home: () => seek(0), End: () => seek(frames - 1),
      };
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    slider.value = 0; // the poster is shown until the first touch, so no moment is claimed yet
  }

  // --- which episodes are shown ------------------------------------------------------------------------------------
  function prepareChoices() {
    const select = one("#by"), script = one("#choices"), list = one("#players");
    if (!select || !script) return;
    const choices = JSON.parse(script.textContent), players = all(".player", list);
    function choose() {
      const { picks, note } = choices[select.value];
      one("#choice-note").textContent = note;
      for (const player of players) { player.hidden = true; const video = one("video", player); if (video) video.pause(); }
      for (const [rank, episode, value] of picks) {
        const player = players.find((p) => p.dataset.episode === episode);
        if (!player) continue;
        player.hidden = false;
        one(".rank", player).textContent = `${rank}, ${value}`;
        for (const row of all("tr[data-metric]", player)) row.classList.toggle("by", row.dataset.metric === select.value);
        list.append(player);
      }
    }
    select.addEventListener("change", choose);
    choose();
  }

  // --- theme and copying -------------------------------------------------------------------------------------------
  function prepareTheme() {
    one("#theme").addEventListener("click", () => {
      const root = document.documentElement;
      const dark = (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("worldsim-theme", root.dataset.theme); } catch (e) { /* private windows keep nothing */ }
    });
  }

  function prepareCopy() {
    const button = one("#copy"), code = one("#command");
    if (!button) return;
    button.addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(code.textContent); } catch (e) {
        getSelection().selectAllChildren(code); // without a clipboard the command is at least selected
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  all("figure.curve").forEach(prepareChart);
  all(".player").forEach(preparePlayer);
  prepareChoices();
  prepareTheme();
  prepareCopy();
})();
