"use strict";
// Filters, boards and the three interactive charts. Names come from creators: set text, never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined && text !== null) element.textContent = text;
    return element;
  };

  // The filter: a niche, and a part of a handle or name.
  const selection = () => ({ niche: at("niche").value, text: at("creator").value.trim().toLowerCase().replace(/^@/, "") });
  const fits = (id, { niche, text }) => {
    const creator = data.creators[id];
    if (!creator) return !niche && !text;
    if (niche && creator.niche !== niche) return false;
    return !text || `${creator.handle} ${creator.name}`.toLowerCase().includes(text);
  };

  const creatorName = (id) => {
    const creator = data.creators[id];
    const element = make("span", "who");
    element.append(make("bdi", "name", creator.name), " ", make("span", "handle", "@" + creator.handle));
    return element;
  };

  function filterRows(filter) {
    for (const block of document.querySelectorAll(".filtered")) {
      let left = 0;
      for (const row of block.querySelectorAll("[data-creator]")) {
        row.hidden = !fits(row.dataset.creator, filter);
        left += !row.hidden;
      }
      const place = block.closest(".scroll") || block;
      let none = place.nextElementSibling;
      if (!none || !none.classList.contains("nobody")) {
        none = make("p", "none nobody", "No creator matches this filter.");
        place.after(none);
      }
      none.hidden = left > 0;
      place.hidden = left === 0;
    }
  }

  function spark(line) {
    const space = "http://www.w3.org/2000/svg", width = 7, high = 22;
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("class", "spark");
    svg.setAttribute("width", line.length * width);
    svg.setAttribute("height", high);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "By day: " + line.map((value, n) => `${data.trends.days[n]} ${value === null ? "no value" : value + " % of the best day"}`).join(", "));
    line.forEach((value, n) => {
      const bar = document.createElementNS(space, "rect");
      const height = value === null ? 1 : Math.max((Math.abs(value) / 100) * (high - 2), 1.5);
      bar.setAttribute("x", n * width);
      bar.setAttribute("y", high - height);
      bar.setAttribute("width", width - 2);
      bar.setAttribute("height", height);
      bar.setAttribute("class", value === null ? "nil" : value < 0 ? "low" : "");
      svg.append(bar);
    });
    return svg;
  }

  function change(moved) {
    if (moved === "new") return make("span", "muted", "new");
    if (moved === null) return make("span", "muted", "–");
    if (moved === 0) return make("span", "muted", "=");
    return make("span", moved > 0 ? "up" : "down", (moved > 0 ? "▲ " : "▼ ") + Math.abs(moved));
  }

  function drawBoard(filter) {
    const table = at("board");
    if (!table) return;
    const metric = at("metric").value, period = document.querySelector("[name=period]:checked").value;
    const all = data.boards[`${period}|${filter.niche || "*"}|${metric}`] || [];
    const rows = all.filter((row) => fits(row[2], { niche: "", text: filter.text }));
    const body = table.tBodies[0];
    const lines = data.trends.lines[metric] || {};
    const compared = data.compared.includes(period);
    const label = at("metric").selectedOptions[0].textContent;
    table.caption.textContent = `${label}, ${period === "day" ? "today so far" : period === "week" ? "7 days" : "30 days"}${filter.niche ? ", " + filter.niche : ""}`;
    table.tHead.querySelector(".value").textContent = label;
    at("metric-meaning").hash = data.meanings[metric];
    table.classList.toggle("plain", !compared);
    table.classList.toggle("sure", !rows.some((row) => row[6]));
    table.classList.toggle("alone", !rows.some((row) => row[5]));
    table.classList.toggle("trendless", data.trends.days.length < 2);
    at("board-note").textContent = compared ? "" : "Ranks cannot be compared yet: there is no earlier period of this length.";
    body.replaceChildren(...rows.map((row) => {
      const [rank, moved, id, text, bar, share, interval, thin, sure] = row;
      const line = make("tr");
      const value = make("td", "value", text);
      if (thin) {
        const mark = make("a", "mark", thin + " seen");
        mark.href = "#meaning-streams-coverage_ratio";
        value.append(" ", mark);
      }
      const track = make("span", "barred"), fill = make("i");
      fill.style.width = bar * 100 + "%";
      track.append(fill);
      if (interval) value.append(make("span", "within", interval));
      value.append(track);
      const name = make("th");
      name.scope = "row";
      name.append(creatorName(id));
      const trend = make("td", "trend wide");
      if (lines[id]) trend.append(spark(lines[id]));
      const moves = make("td", "change");
      moves.append(change(moved));
      line.append(make("td", "rank", rank), moves, name, value, make("td", "interval", interval || "–"), make("td", "interval", sure === null ? "–" : sure), make("td", "share wide", share || "–"), trend);
      return line;
    }));
    let none = table.parentElement.nextElementSibling;
    if (!none || !none.classList.contains("nobody")) {
      none = make("p", "none nobody");
      table.parentElement.after(none);
    }
    none.hidden = rows.length > 0;
    none.textContent = all.length ? "Not among the first places of this board." : filter.niche && !data.boardNiches.includes(filter.niche) ? "This niche is too small for a board here." : "This board is empty.";
    table.parentElement.hidden = rows.length === 0;
  }

  // Charts: compiled specifications that get their rows here. The SVG renderer lets them print and follow the theme.
  // The page's policy allows no evaluated text and no added style: Vega interprets its expressions (ast).
  const views = {};
  const tip = make("div", "tip");
  tip.hidden = true;
  document.body.append(tip);
  function showTip(handler, event, item, value) {
    tip.hidden = !value;
    if (!value) return;
    tip.textContent = typeof value === "object" ? Object.values(value).join(" ") : value;
    tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)) + "px";
    tip.style.top = event.clientY + 14 + "px";
  }
  function show(name, rows) {
    const place = at("chart-" + name);
    if (!place) return;
    place.hidden = rows.length === 0;
    if (views[name]) views[name].then(({ view }) => view.data("rows", rows).resize().runAsync());
    else if (rows.length) {
      const inner = make("div"), chart = data.charts[name];
      place.append(inner);
      chart.data.find((source) => source.name === "rows").values = rows;
      views[name] = vegaEmbed(inner, chart, { mode: "vega", renderer: "svg", actions: false, hover: true, tooltip: showTip, ast: true, defaultStyle: false });
    }
  }

  const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  function drawHeat(filter) {
    if (!at("chart-heat")) return;
    const measure = Number(document.querySelector("[name=measure]:checked").value);
    const heat = data.heat, sum = new Array(168).fill(0);
    let parts = Object.values(heat.all), note = "";
    if (filter.text) {
      const ids = Object.keys(heat.creator).filter((id) => fits(id, filter));
      parts = ids.map((id) => heat.creator[id]);
      if (!parts.length) note = "No matching creator is among those with the most time on air.";
    } else if (filter.niche) parts = heat.niche[filter.niche] ? [heat.niche[filter.niche]] : [];
    for (const part of parts) part[measure].forEach((value, n) => { sum[n] += value; });
    const label = (value) => measure ? Math.round(value).toLocaleString("en") + " viewer-hours" : (value / 60).toFixed(value < 594 ? 1 : 0) + " hours on air";
    at("heat-note").textContent = note;
    at("heat-top").textContent = label(Math.max(...sum));
    show("heat", sum.map((value, n) => ({
      weekday: WEEKDAYS[Math.floor(n / 24)], hour: n % 24, value,
      label: `${WEEKDAYS[Math.floor(n / 24)]} ${n % 24}:00 to ${(n % 24) + 1}:00: ${value ? label(value) : "no airtime"}`,
    })));
  }

  let open = false;
  function draw() {
    const filter = selection();
    at("clear").hidden = !filter.niche && !filter.text;
    // Show all matching cards; without a filter, only the first ones.
    const short = !filter.niche && !filter.text && !open && document.querySelector(".later") !== null;
    if (at("cards")) {
      at("cards").classList.toggle("short", short);
      at("more").hidden = !short;
    }
    filterRows(filter);
    drawBoard(filter);
    drawHeat(filter);
    show("lifts", data.lifts.filter((row) => fits(row.creator, filter)));
  }

  const root = document.documentElement, themes = ["auto", "light", "dark"];
  let theme = "auto";
  try { theme = localStorage.getItem("theme") || "auto"; } catch { /* a file may have no storage */ }
  function setTheme(name) {
    theme = themes.includes(name) ? name : "auto";
    root.style.colorScheme = theme === "auto" ? "" : theme;
    at("theme").textContent = "Theme: " + theme;
    try { localStorage.setItem("theme", theme); } catch { /* as above */ }
  }

  setTheme(theme);
  // Show the first board that has rows.
  const metric = at("metric");
  if (metric) {
    for (const option of [...metric.options]) if (!Object.keys(data.boards).some((key) => key.endsWith("|" + option.value))) option.remove();
    const first = [...metric.options].find((option) => data.boards["week|*|" + option.value]);
    if (first) metric.value = first.value;
  }
  at("theme").onclick = () => setTheme(themes[(themes.indexOf(theme) + 1) % 3]);
  at("print").onclick = () => print();
  at("clear").onclick = () => { at("niche").value = ""; at("creator").value = ""; draw(); };
  if (at("more")) at("more").onclick = () => { open = true; draw(); };
  at("niche").onchange = at("creator").oninput = draw;
  if (metric) metric.onchange = () => drawBoard(selection());
  for (const input of document.querySelectorAll("[name=period]")) input.onchange = () => drawBoard(selection());
  for (const input of document.querySelectorAll("[name=measure]")) input.onchange = () => drawHeat(selection());
  draw();
  show("credits", data.credits);
})();
