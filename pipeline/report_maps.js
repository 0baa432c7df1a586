// Draws the maps of covers that map-data.js holds, with plotly.min.js; all three lie beside the page.
// What is told of a point is set as text, never as HTML: names come from strangers.
"use strict";

(() => {
  const SECONDS_A_TURN = 40;
  const { figures, told, sheet } = window.coverMaps;
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const isStill = matchMedia("(prefers-reduced-motion: reduce)");
  const flat = document.getElementById("map-flat");
  const space = document.getElementById("map-space");
  const choice = document.getElementById("map-choice");
  const turn = document.getElementById("map-turn");
  const card = document.getElementById("map-card");

  function draw(plot, name) {
    const page = getComputedStyle(document.documentElement);
    const [ink, soft] = ["--ink", "--soft"].map(name => page.getPropertyValue(name).trim());
    const layout = {
      ...figures[name].layout,
      autosize: true,
      dragmode: name === "space" ? "orbit" : "zoom",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
      hovermode: "closest",
      legend: { orientation: "h", itemsizing: "constant", y: 0, yanchor: "top", x: 0 },
      margin: { l: 0, r: 0, t: 0, b: 0 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      showlegend: true,
      uirevision: name,
    };
    const data = figures[name].data.map(trace => {
      const marker = { ...trace.marker };
      if (marker.line) marker.line = { ...marker.line, color: ink };
      return { ...trace, marker };
    });
    const config = {
      displaylogo: false, plotlyServerURL: "", responsive: true, scrollZoom: false,
      modeBarButtonsToRemove: ["sendChartToCloud", "select2d", "lasso2d", "autoScale2d"],
    };
    return Plotly.react(plot, data, layout, config);
  }

  function listen(plot) {
    plot.on("plotly_hover", event => show(event.points[0].customdata));
    plot.on("plotly_unhover", () => { card.hidden = true; });
    plot.addEventListener("pointermove", event => {
      const right = event.clientX + 16 + card.offsetWidth > innerWidth;
      card.style.left = `${right ? event.clientX - 16 - card.offsetWidth : event.clientX + 16}px`;
      card.style.top = `${Math.min(event.clientY + 12, innerHeight - card.offsetHeight - 8)}px`;
    });
    plot.addEventListener("pointerleave", () => { card.hidden = true; });
  }

  function show(index) {
    const scale = 2;
    const [column, row] = [index % sheet.num_columns, Math.floor(index / sheet.num_columns)];
    const [thumbnail, ...lines] = card.children;
    thumbnail.style.width = thumbnail.style.height = `${sheet.side * scale}px`;
    thumbnail.style.backgroundImage = "url(assets/map-covers.jpg)";
    thumbnail.style.backgroundSize = `${sheet.num_columns * sheet.side * scale}px auto`;
    thumbnail.style.backgroundPosition =
      `${-column * sheet.side * scale}px ${-row * sheet.side * scale}px`;
    lines.forEach((line, i) => { line.textContent = told[index][i]; });
    card.hidden = false;
  }

  // The scene turns until somebody takes hold of it, and only while it is seen.
  let isTurning = !isStill.matches, isSeen = false, angle = 0.6, last = 0;

  function setTurning(wanted) {
    isTurning = wanted;
    turn.setAttribute("aria-pressed", String(wanted));
    if (wanted) {
      const eye = space._fullLayout.scene.camera.eye;
      angle = Math.atan2(eye.y, eye.x);
    }
  }

  function step(now) {
    requestAnimationFrame(step);
    const seconds = Math.min((now - last) / 1000, 0.1);
    if (!isTurning || !isSeen || document.hidden || now - last < 30) {
      if (now - last >= 30) last = now;
      return;
    }
    last = now;
    angle += 2 * Math.PI * seconds / SECONDS_A_TURN;
    const eye = { x: 1.2 * Math.cos(angle), y: 1.2 * Math.sin(angle), z: 0.5 };
    Plotly.relayout(space, { "scene.camera.eye": eye });
  }

  function start() {
    document.getElementById("maps-live").hidden = false;
    draw(flat, choice.value);
    listen(flat);
    choice.addEventListener("change", () => draw(flat, choice.value));
    isDark.addEventListener("change", () => { draw(flat, choice.value); draw(space, "space"); });
    draw(space, "space").then(() => {
      listen(space);
      setTurning(isTurning);
      space.addEventListener("pointerdown", () => setTurning(false));
      turn.addEventListener("click", () => setTurning(!isTurning));
      new IntersectionObserver(entries => { isSeen = entries.at(-1).isIntersecting; }).observe(space);
      requestAnimationFrame(step);
    }, () => {
      // Without WebGL the picture below must do, as it does without scripts.
      document.getElementById("map-space-figure").hidden = true;
    });
  }

  start();
})();
