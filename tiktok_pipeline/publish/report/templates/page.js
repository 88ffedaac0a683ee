"use strict";
// Filters, tables, cards and the three charts. Names come from creators: set text, never markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { facts, tables } = data;
  const at = (id) => document.getElementById(id);
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined && text !== null) element.textContent = text;
    return element;
  };
  const [NAME, HANDLE, NICHE, NUMBERS] = [0, 1, 2, 3];
  const STATS = data.stats.map(([name]) => name);

  // Numbers and times in words: the same as formats.py.
  const DASH = "–";
  const missing = (value) => value === null || value === undefined;
  const minus = (text) => (Number(text.replace(/,/g, "")) === 0 ? text.replace("-", "") : text.replace("-", "−"));
  const whole = (value) => minus(Number(value.toFixed(0)).toLocaleString("en-US"));
  const digits = (value) => {
    const size = Math.abs(value), text = value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
    return minus(text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text);
  };
  const count = (value) => {
    if (missing(value)) return DASH;
    const size = Math.abs(value);
    for (const [step, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]]) if (size >= 0.9995 * step) return digits(value / step) + letter;
    return size < 10 ? digits(value) : whole(value);
  };
  const gained = (value) => {
    if (missing(value)) return DASH;
    const text = Math.abs(value) < 1000 ? whole(value) : count(value);
    return text.startsWith("−") || text === "0" ? text : "+" + text;
  };
  const exactly = (value) => (missing(value) ? DASH : whole(value));
  const duration = (seconds) => {
    if (missing(seconds)) return DASH;
    const minutes = Math.floor(seconds / 60 + 0.5);
    if (seconds < 90) return `${Math.floor(seconds + 0.5)} s`;
    if (minutes < 60) return `${minutes} min`;
    if (minutes < 6000) return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
    return `${Math.floor(seconds / 3600 + 0.5).toLocaleString("en-US")} h`;
  };
  const percent = (share) => {
    if (missing(share)) return DASH;
    const size = Math.abs(share) * 100;
    if (size > 0 && size < 0.1) return "under 0.1 %";
    return size > 0 && size < 9.95 ? `${(share * 100).toFixed(1)} %` : `${(share * 100).toFixed(0)} %`;
  };
  const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const two = (value) => String(value).padStart(2, "0");
  const clock = (minutes) => { const t = new Date(minutes * 6e4); return `${two(t.getUTCHours())}:${two(t.getUTCMinutes())}`; };
  const day = (minutes) => { const t = new Date(minutes * 6e4); return `${WEEKDAYS[(t.getUTCDay() + 6) % 7]} ${t.getUTCDate()} ${MONTHS[t.getUTCMonth()]}`; };
  const moment = (minutes) => (missing(minutes) ? DASH : `${day(minutes)}, ${clock(minutes)}`);
  const KINDS = {
    count, gained, exactly, duration, percent, moment,
    change: (value) => (missing(value) ? DASH : value === 0 ? "=" : `${value > 0 ? "▲" : "▼"} ${count(Math.abs(value))}`),
    interval: (ends) => (ends ? `${gained(ends[0])} to ${gained(ends[1])}` : DASH),
    days: (days) => `${days} days`,
    text: (text) => text || DASH,
  };

  // The filter: a niche, and a handle or a part of a handle or name. It stands in the address.
  const selection = () => ({ niche: at("niche").value, text: at("creator").value.trim().toLowerCase().replace(/^@/, "") });
  const everyone = data.creators.map((_, id) => id);
  function matching({ niche, text }) {
    const ids = everyone.filter((id) => !niche || data.creators[id][NICHE] === niche);
    if (!text) return ids;
    const known = ids.filter((id) => data.creators[id][NUMBERS]);
    const exact = known.filter((id) => data.creators[id][HANDLE].toLowerCase() === text);
    return exact.length ? exact : known.filter((id) => `${data.creators[id][HANDLE]} ${data.creators[id][NAME]}`.toLowerCase().includes(text));
  }
  // The numbers of several creators; of all and of a niche they come with the page.
  function combined(ids) {
    const rows = ids.map((id) => data.creators[id][NUMBERS]).filter(Boolean);
    return data.stats.map(([, how], n) => {
      const values = rows.map((row) => row[n]).filter((value) => value !== null).sort((a, b) => a - b);
      if (!values.length) return null;
      if (how === "max") return values[values.length - 1];
      if (how === "median") return (values[(values.length - 1) >> 1] + values[values.length >> 1]) / 2;
      return values.reduce((sum, value) => sum + value, 0);
    });
  }
  function chosen() {
    const filter = selection(), ids = matching(filter);
    const numbers = filter.text ? combined(ids) : data.scopes[filter.niche || "*"] || combined([]);
    const total = Object.fromEntries(STATS.map((name, n) => [name, numbers[n]]));
    const one = filter.text && ids.length === 1;
    const who = one ? "@" + data.creators[ids[0]][HANDLE] : filter.text ? `${ids.length} creators matching “${filter.text}”` : filter.niche;
    return { ...filter, ids, set: new Set(ids), total, one, who, any: Boolean(filter.niche || filter.text) };
  }

  const HANDLES = /^[A-Za-z0-9_.]{1,64}$/, POSTS = /^[0-9]{1,32}$/;
  function outside(address, name, text) {
    const link = make("a", name + " out", text);
    link.href = address;
    link.rel = "noopener noreferrer";
    return link;
  }
  const profile = (handle) => (HANDLES.test(handle) ? "https://www.tiktok.com/@" + handle : null);
  function creatorName(id) {
    const creator = data.creators[id], element = make("span", "who"), handle = creator[HANDLE], address = profile(handle);
    element.append(make("bdi", "name", creator[NAME]), " ", address ? outside(address, "handle", "@" + handle) : make("span", "handle", "@" + handle));
    return element;
  }
  const term = (name, label) => {
    const link = make("a", "term", label);
    link.href = "#meaning-" + name.replace(/_/g, "-");
    return link;
  };
  function mark(share, of) {
    const link = make("a", "mark", `${percent(share)} ${of === "completeness" ? "of its day" : "seen"}`);
    link.href = "#meaning-" + (of === "completeness" ? of : "coverage");
    return link;
  }

  // Tables. `view` is what is shown: columns, rows ([creator, value, ...]), and how a row is named.
  const views = {}, sorted = {};
  const lookup = (view, row, key) => row[1 + view.columns.findIndex((column) => column.key === key)];
  function cell(view, column, row, value) {
    const element = make("td", column.kind);
    element.dataset.label = column.label;
    let text = (KINDS[column.kind] || KINDS.text)(value);
    if (column.about && lookup(view, row, column.about)) text = "≈ " + text;
    if (column.tone) element.className += " " + (lookup(view, row, column.tone) || "");
    let inner = make(column.kind === "text" ? "bdi" : "span", "", text);
    if (column.kind === "count" && !missing(value)) element.title = exactly(value);
    if (column.kind === "change" && value) inner.className = value > 0 ? "up" : "down";
    if (column.kind === "moved") inner = moved(value);
    if (column.link) {
      const post = lookup(view, row, column.link), address = profile(data.creators[row[0]][HANDLE]);
      if (address && POSTS.test(post)) inner = outside(`${address}/video/${post}`, "", text);
    }
    element.append(inner);
    const seen = column.mark ? lookup(view, row, column.mark) : null;
    if (!missing(seen)) element.append(" ", mark(seen, column.mark));
    if (column.bar) {
      const track = make("span", "barred"), fill = make("i");
      fill.style.width = Math.max(0, column.bar(row)) * 100 + "%";
      track.append(fill);
      element.append(track);
    }
    if (column.draw) element.replaceChildren(...column.draw(row));
    return element;
  }
  function moved(value) {
    if (value === "new") return make("span", "muted", "new");
    if (missing(value)) return make("span", "muted", DASH);
    if (value === 0) return make("span", "muted", "=");
    return make("span", value > 0 ? "up" : "down", (value > 0 ? "▲ " : "▼ ") + Math.abs(value));
  }
  const sortable = (value) => (missing(value) ? null : Array.isArray(value) ? value[0] : value === "new" ? 1e9 : value);
  function inOrder(name, view) {
    const order = sorted[name];
    if (!order) return view.rows;
    const of = order.key === "" ? (row) => view.name(row).toLowerCase() : (row) => sortable(lookup(view, row, order.key));
    return [...view.rows].sort((a, b) => {
      const [left, right] = [of(a), of(b)];
      if (left === null || right === null) return (left === null) - (right === null);
      return (left < right ? -1 : left > right ? 1 : 0) * order.sign;
    });
  }
  function draw(name) {
    const view = views[name], table = view.table;
    const columns = view.columns.map((column, n) => ({ column, n: n + 1 })).filter(({ column, n }) => !column.hidden && (column.always || view.rows.some((row) => !missing(row[n]))));
    if (sorted[name] && sorted[name].key !== "" && !columns.some(({ column }) => column.key === sorted[name].key)) delete sorted[name];
    const head = make("tr");
    for (const column of [{ key: "", label: view.label, kind: "" }, ...columns.map((each) => each.column)]) {
      const th = make("th", column.kind);
      th.scope = "col";
      const order = sorted[name] && sorted[name].key === column.key ? sorted[name].sign : 0;
      if (order) th.ariaSort = order > 0 ? "ascending" : "descending";
      th.append(column.term ? term(column.term, column.label) : make("span", "", column.label));
      if (view.rows.length > 1 && !column.draw && !column.fixed) {
        const button = make("button", "sort", order > 0 ? "▲" : order < 0 ? "▼" : "↕");
        button.type = "button";
        button.title = `Sort by ${column.label}`;
        button.ariaLabel = button.title;
        button.onclick = () => {
          // Numbers begin with the largest, names with A.
          const begin = column.key === "" || column.kind === "text" ? 1 : -1;
          sorted[name] = { key: column.key, sign: order ? -order : begin };
          draw(name);
          table.tHead.rows[0].cells[th.cellIndex]?.querySelector(".sort")?.focus();
        };
        th.append(button);
      }
      head.append(th);
    }
    const heads = [...head.cells];
    table.tHead.replaceChildren(head);
    table.tBodies[0].replaceChildren(...inOrder(name, view).map((row) => {
      const line = make("tr"), first = make("th");
      if (view.creators) line.dataset.creator = data.creators[row[0]][HANDLE];
      first.scope = "row";
      first.append(view.creators ? creatorName(row[0]) : view.name(row));
      line.append(first, ...columns.map(({ column, n }) => cell(view, column, row, row[n])));
      return line;
    }));
    table.caption.textContent = view.caption;
    table.parentElement.hidden = heads.length === 0 || view.rows.length === 0;
    const none = at("none-" + name), save = document.querySelector(`.save[data-table="${name}"]`);
    if (none) { none.hidden = view.rows.length > 0; none.textContent = view.none; }
    if (save) save.hidden = view.rows.length === 0;
  }
  const show = (name, view) => {
    const table = at(name === "board" ? "board" : "table-" + name);
    if (!table) return;
    views[name] = { label: "Creator", creators: true, name: (row) => data.creators[row[0]][NAME], ...view, table };
    draw(name);
  };
  // How much of all rows is shown. The rows of several chosen creators are not always the first of all theirs.
  const part = (shown, all, what, scope) => (shown < all ? `${scope.text && !scope.one ? "" : "The first "}${shown} of ${exactly(all)} ${what}.` : "");

  function drawTables(scope) {
    for (const [name, table] of Object.entries(tables)) {
      const seen = {};
      let rows = table.rows.filter((row) => scope.set.has(row[0]));
      if (table.apart && !scope.one) rows = rows.filter((row) => (seen[row[0]] = (seen[row[0]] || 0) + 1) <= table.apart);
      rows = rows.slice(0, table.first);
      show(name, { columns: table.columns, rows, caption: table.caption + (scope.any ? ", " + scope.who : ""), none: scope.any ? table.none.replace("{who}", () => scope.who) : table.noneAtAll });
      const place = at("part-" + name);
      if (place) place.textContent = part(rows.length, scope.total[table.counted] || 0, scope.one ? table.what.replace(/, at most.*/, "") : table.what, scope) + " ";
    }
  }

  // CSV for spreadsheets: text that one would read as a formula or as a number begins with an apostrophe (exports.py).
  const FORMULA = new RegExp(facts.formula, "u"), NUMBER = new RegExp(facts.number, "u");
  function field(value) {
    if (missing(value)) return "";
    if (typeof value === "number") return String(value);
    const text = FORMULA.test(value) || NUMBER.test(value) ? "'" + value : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
  }
  function csv(name) {
    const view = views[name], first = view.creators ? ["handle", "display_name", "niche"] : [view.label.toLowerCase()];
    const kept = view.columns.map((column, n) => [column, n + 1]).filter(([column]) => !column.draw && column.key !== "tone");
    const lines = [[...first, ...kept.flatMap(([column]) => (column.kind === "interval" ? [column.key + "_lo", column.key + "_hi"] : [column.key]))]];
    for (const row of inOrder(name, view)) {
      const creator = data.creators[row[0]];
      lines.push([
        ...(view.creators ? [creator[HANDLE], creator[NAME], creator[NICHE]] : [view.name(row)]),
        ...kept.flatMap(([column, n]) => {
          const value = row[n];
          if (column.kind === "interval") return value || [null, null];
          if (column.kind === "moment") return [missing(value) ? null : new Date(value * 6e4).toISOString().slice(0, 16).replace("T", " ")];
          return [value];
        }),
      ]);
    }
    return "\ufeff" + lines.map((line) => line.map(field).join(",")).join("\r\n") + "\r\n";
  }
  function save(name) {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([csv(name)], { type: "text/csv" }));
    link.download = `tiktok-${name}${selection().niche ? "-" + selection().niche.replace(/[^\p{L}\p{N}]+/gu, "-") : ""}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // Tiles and sentences.
  const total = (value, rows) => (rows ? value : 0);
  const ratio = (value, of) => (missing(value) || !of ? null : value / of);
  const average = (hours, seconds) => (missing(hours) || !seconds ? null : hours / (seconds / 3600));
  function tile(id, big, sub, seen) {
    const element = at("tile-" + id), number = element.querySelector(".big");
    number.textContent = big;
    if (!missing(seen) && seen < facts.wellCovered) number.append(" ", mark(seen, "coverage"));
    element.querySelector(".sub").textContent = sub;
  }
  function against(now, before, write) {
    if (!facts.compared || missing(now) || missing(before)) return "";
    if (!before) return ", none in the 7 days before";
    return now === before ? ", as in the 7 days before" : `, ${now > before ? "▲" : "▼"} ${write(Math.abs(now - before))} on the 7 days before`;
  }
  function drawTiles(scope) {
    const all = scope.total, seen = ratio(all.observed_s_week, all.airtime_s_week);
    const whom = scope.one ? "not on air" : "no creator on air";
    tile("live", exactly(all.live || 0), all.live ? (missing(all.live_viewers) ? "viewers not reported" : `${count(all.live_viewers)} viewers`) : whom);
    tile("streams", exactly(all.streams_week || 0), `${exactly(all.streams_day || 0)} today so far${against(all.streams_week, all.streams_before, exactly)}`);
    tile("airtime", duration(total(all.airtime_s_week, all.streams_week)), `${duration(total(all.airtime_s_day, all.streams_day))} today so far${against(all.airtime_s_week, all.airtime_s_before, duration)}`, seen);
    tile("watched", count(total(all.hours_watched_week, all.streams_week)), `${count(total(all.hours_watched_day, all.streams_day))} today so far${against(all.hours_watched_week, all.hours_watched_before, count)}`, seen);
    tile("clear", exactly(all.clear_week || 0), `of ${exactly(all.lifts_week || 0)} measured, ${exactly(all.streams_week || 0)} streams in all`);
    const niches = new Set(scope.ids.map((id) => data.creators[id][NICHE]).filter(Boolean));
    const people = all.watched === 1 ? "1 creator" : `${exactly(all.watched || 0)} creators`;
    at("lead-who").textContent = scope.one ? scope.who : scope.text ? scope.who : scope.niche ? `${people} of ${scope.niche}` : people + (niches.size > 1 ? ` in ${Object.keys(data.scopes).length - 1} niches` : "");
    at("who-title").textContent = (facts.client ? " · " + facts.client : "") + (scope.any ? " · " + scope.who : "");
    at("lead-watch").textContent = missing(all.median_gap_s) ? "No reading came on this day." : `Readings came every ${duration(all.median_gap_s)}${missing(all.largest_gap_s) ? "." : `, with no gap longer than ${duration(all.largest_gap_s)}.`}`;
    at("lead-unread").textContent = !all.unreadable ? "" : `${all.unreadable === 1 ? "1 account has" : exactly(all.unreadable) + " accounts have"} no readable response: deleted, renamed or blocked.`;
    const known = ratio(all.known_polls, all.polls);
    at("lead-care").textContent = known === null || known >= facts.wellCovered ? "" : `Only ${percent(known)} of the readings have a known live state: read every number below with care.`;
    const nobody = at("nobody");
    nobody.hidden = scope.ids.length > 0;
    nobody.textContent = scope.ids.length ? "" : facts.all ? `No creator${scope.niche ? " of " + scope.niche : ""} matches “${scope.text}”.` : `No creator on this page matches “${scope.text}”. It carries ${data.creators.length} creators; tiktok-pipeline report --creator makes the page of any other.`;
    show("totals", {
      creators: false, label: "Period", caption: "Totals by period" + (scope.any ? ", " + scope.who : ""), none: "", name: (row) => row[0],
      columns: [
        { key: "streams", label: "Streams", kind: "exactly", term: "streams" }, { key: "airtime_s", label: "Time on air", kind: "duration", term: "airtime" },
        { key: "hours_watched", label: "Viewer-hours", kind: "count", term: "hours_watched" }, { key: "average_viewers", label: "Average viewers", kind: "count", term: "average_viewers" },
        { key: "peak_viewers", label: "Peak viewers", kind: "count", term: "peak_viewers" }, { key: "lift", label: "Followers gained", kind: "gained", term: "lift" },
        { key: "measured", label: "Measured", kind: "text" },
      ],
      rows: [["Today so far", "day"], ["7 days", "week"], ...(facts.days > 7 ? [["30 days", "month"]] : [])].map(([label, period]) => {
        const of = (name) => all[`${name}_${period}`], streams = of("streams") || 0;
        return [label, streams, total(of("airtime_s"), streams), total(of("hours_watched"), streams), average(of("hours_watched"), of("counted_s")), of("peak_viewers"), of("lift"), `${exactly(of("lifts") || 0)} of ${exactly(streams)}`];
      }),
    });
  }

  function spark(line) {
    const space = "http://www.w3.org/2000/svg", width = 9, high = 22;
    const svg = document.createElementNS(space, "svg");
    svg.setAttribute("class", "spark");
    svg.setAttribute("width", line.length * width);
    svg.setAttribute("height", high);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", "By day: " + line.map((value, n) => `${data.trends.days[n]} ${value === null ? "no value" : value + " % of the best day"}`).join(", "));
    line.forEach((value, n) => {
      const bar = document.createElementNS(space, "rect");
      const height = value === null ? 1 : Math.max((Math.abs(value) / 100) * (high - 2), 1.5);
      for (const [name, is] of Object.entries({ x: n * width, y: high - height, width: width - 2, height, class: value === null ? "nil" : value < 0 ? "low" : "" })) bar.setAttribute(name, is);
      svg.append(bar);
    });
    return svg;
  }

  // A row of a board: creator, value, rank, rank in the niche, changes, ends of the interval, sure ranks.
  function drawBoard(scope) {
    if (!at("board")) return;
    const metric = at("metric").value, period = document.querySelector("[name=period]:checked").value;
    const board = data.boards[`${period}|${metric}`] || { rows: [], totals: {} }, { kind, term: of } = data.metrics[metric];
    const niche = scope.niche ? 1 : 0, lines = data.trends.lines[metric] || {}, marks = data.seen[period] || {};
    const label = at("metric").selectedOptions[0].textContent, all = board.totals[scope.niche || "*"];
    const places = board.rows.filter((row) => scope.set.has(row[0]) && !missing(row[2 + niche])).sort((a, b) => a[2 + niche] - b[2 + niche]);
    const complete = niche && facts.depth !== null ? places.filter((row) => row[3] <= facts.depth) : places;
    const rows = (scope.text ? places : complete).slice(0, facts.board).map((row) => [
      row[0], row[2 + niche], row[4 + niche], row[1], missing(row[6]) ? null : [row[6], row[7]], row[8 + niche],
      all ? row[1] / all : null, (lines[row[0]] || []).some((value) => value !== null) ? 1 : null, marks[row[0]],
    ]);
    const top = Math.max(...rows.map((row) => Math.abs(row[3])), 0) || 1;
    const days = { day: "today so far", week: "7 days", month: "30 days" }[period];
    at("metric-meaning").hash = "meaning-" + of.replace(/_/g, "-");
    at("part-board").textContent = !scope.text ? (rows.length < places.length ? `The first ${rows.length} of ${places.length} creators.` : "All creators with a value.") : "Ranks are among all creators" + (scope.niche ? ` of ${scope.niche}.` : facts.client ? " of this report." : ".");
    at("board-note").textContent = rows.length && !rows.some((row) => !missing(row[2])) && !facts.client ? "Ranks cannot be compared yet: there is no earlier period of this length. " : "";
    const few = period !== "day" && metric.startsWith("lift") ? " Over more than a day, a creator needs three measured streams for this board." : "";
    show("board", {
      caption: `${label}, ${days}${scope.any ? ", " + scope.who : ""}`,
      none: (scope.any ? `${scope.who}: nothing on this board for ${days === "today so far" ? "today" : "the last " + days}.` : "This board is empty.") + few,
      rows,
      columns: [
        { key: "rank", label: "Rank", kind: "exactly", term: "rank" }, { key: "rank_change", label: "Change", kind: "moved", term: "rank_change" },
        { key: metric, label, kind, term: of, mark: "coverage", bar: (row) => row[3] / top }, { key: "interval", label: "90 % interval", kind: "interval", term: "interval" },
        { key: "confident_rank", label: "Sure rank", kind: "exactly", term: "confident_rank" }, { key: "share", label: "Share", kind: "percent", term: "share" },
        { key: "trend", label: `Last ${data.trends.days.length} days`, kind: "trend", draw: (row) => (lines[row[0]] && data.trends.days.length > 1 ? [spark(lines[row[0]])] : []) },
        { key: "coverage", label: "Coverage", kind: "percent", hidden: true },
      ].filter((column) => column.key !== "trend" || data.trends.days.length > 1),
    });
  }

  // Cards of the newest streams.
  const POSITIONS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
  const svg = (tag, attributes, ...inner) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...inner);
    return element;
  };
  function curve(packed, row) {
    const figure = make("figure", "curve"), runs = packed.split(" ").filter(Boolean);
    figure.setAttribute("role", "img");
    figure.ariaLabel = `Viewers of the stream: at most ${exactly(row.peak_viewers)}, ${exactly(row.average_viewers)} on average`;
    const drawing = svg("svg", { viewBox: "0 0 63 67", preserveAspectRatio: "none" });
    for (const run of runs) {
      const points = [];
      for (let n = 0; n < run.length; n += 2) points.push([POSITIONS.indexOf(run[n]), 65 - POSITIONS.indexOf(run[n + 1])]);
      const line = points.map(([x, y]) => `${x} ${y}`).join("L"), [first, last] = [points[0], points[points.length - 1]];
      drawing.append(svg("path", { class: "area", d: `M${first[0]} 67L${line}L${last[0]} 67Z` }), svg("path", { class: "line", d: points.length > 1 ? `M${line}` : `M${line}h.4` }));
    }
    figure.append(make("span", "top-value", count(row.peak_viewers)), drawing);
    return figure;
  }
  function interval({ lift, lift_interval: [low, high], tone }, label) {
    const left = Math.min(low, 0), length = Math.max(high, 0) - left || 1, x = (value) => `${(4 + (92 * (value - left)) / length).toFixed(1)}%`;
    return svg("svg", { class: "interval-line " + tone, role: "img", "aria-label": label || `Between ${gained(low)} and ${gained(high)} followers` },
      svg("line", { class: "base", x2: "100%", y1: 6, y2: 6 }), svg("line", { class: "zero", x1: x(0), x2: x(0), y2: 12 }),
      svg("line", { class: "span", x1: x(low), x2: x(high), y1: 6, y2: 6 }), svg("circle", { cx: x(lift), cy: 6, r: 4 }));
  }
  const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (text.endsWith(".") ? "" : ".");
  function card(row, packed, id) {
    const element = make("article", "card"), header = make("header"), title = make("h3");
    element.dataset.creator = data.creators[id][HANDLE];
    title.append(creatorName(id));
    header.append(title);
    if (row.state) header.append(make("span", row.state === "on air" ? "badge live" : "badge", row.state));
    const when = make("p", "when", `${moment(row.started_at)}${missing(row.ended_at) ? "" : "–" + clock(row.ended_at)} · ${duration(row.airtime_s)}`);
    if (!missing(row.coverage)) when.append(" ", mark(row.coverage, "coverage"));
    const list = make("dl");
    for (const [of, label] of [["average_viewers", "Average"], ["peak_viewers", "Peak"], ["hours_watched", "Viewer-hours"]]) {
      const pair = make("div"), name = make("dt");
      name.append(term(of, label));
      pair.append(name, make("dd", "", count(row[of])));
      list.append(pair);
    }
    const lift = make("div", "lift");
    if (row.lift_interval) {
      const said = make("p");
      said.append(make("strong", "", gained(row.lift)), " ", term("lift", "followers"), " ", make("span", "muted", KINDS.interval(row.lift_interval)));
      lift.append(said, interval(row), make("p", "verdict", sentence(row.verdict).slice(0, -1)));
    } else if (row.state === "on air") {
      const said = make("p");
      said.append(term("lift", "Followers gained"), ": " + facts.onAir);
      lift.append(said);
    } else {
      const said = make("p");
      said.append(term("not_measurable", "Not measurable"));
      lift.append(said, make("p", "verdict", sentence(row.verdict.replace("not measurable: ", ""))));
    }
    if (row.notes) lift.append(make("p", "notes", sentence(row.notes)));
    element.append(header, when, packed ? curve(packed, row) : make("p", "none small", missing(row.peak_viewers) ? "No vendor reported viewers." : "Too few readings for a curve."), list, lift);
    return element;
  }
  let shownCards = 12;
  function drawCards(scope) {
    if (!at("cards")) return;
    const seen = {}, { rows, columns } = tables.streams, most = facts.client ? rows.length : facts.cards;
    const picked = rows.map((row, n) => [row, n]).filter(([row]) => scope.set.has(row[0]) && (seen[row[0]] = (seen[row[0]] || 0) + 1) <= (scope.one ? facts.cardsOfOne : facts.cardsEach)).slice(0, most);
    const drawn = picked.slice(0, shownCards);
    at("cards").replaceChildren(...drawn.map(([row, n]) => card(Object.fromEntries(columns.map((column, k) => [column.key, row[k + 1]])), data.curves[n], row[0])));
    at("cards").hidden = !picked.length;
    at("more").hidden = picked.length <= drawn.length;
    at("more").textContent = `Show ${picked.length} streams`;
  }

  // Charts: compiled specifications that get their rows here. The SVG renderer lets them print and follow the theme.
  // The page's policy allows no evaluated text and no added style: Vega interprets its expressions (ast).
  const charts = {};
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
  function chart(name, rows) {
    const place = at("chart-" + name), none = at("none-" + name), key = at("key-" + name);
    if (none) none.hidden = rows.length > 0;
    if (key) key.hidden = rows.length === 0;
    if (!place) return;
    place.hidden = rows.length === 0;
    if (charts[name]) charts[name].then(({ view }) => view.data("rows", rows).resize().runAsync());
    else if (rows.length) {
      const inner = make("div"), spec = data.charts[name];
      place.append(inner);
      spec.data.find((source) => source.name === "rows").values = rows;
      charts[name] = vegaEmbed(inner, spec, { mode: "vega", renderer: "svg", actions: false, hover: true, tooltip: showTip, ast: true, defaultStyle: false });
    }
  }

  function drawHeat(scope) {
    if (!at("chart-heat")) return;
    const measure = Number(document.querySelector("[name=measure]:checked").value), sum = new Array(168).fill(0);
    const parts = scope.text ? scope.ids.map((id) => data.heat.creator[id]) : [scope.niche ? data.heat.niche[scope.niche] : data.heat.all[""]];
    for (const part of parts.filter(Boolean)) for (let n = 0; n < part.length; n += 3) sum[part[n]] += part[n + 1 + measure];
    const label = (value) => (measure ? `${exactly(value)} viewer-hours` : `${duration(value * 60)} on air`);
    at("heat-top").textContent = label(Math.max(...sum));
    if (at("none-heat")) at("none-heat").textContent = scope.any ? `${scope.who}: no stream has been seen yet.` : "No stream has been seen yet.";
    chart("heat", sum.some(Boolean) ? sum.map((value, n) => ({
      weekday: WEEKDAYS[Math.floor(n / 24)], hour: n % 24, value,
      label: `${WEEKDAYS[Math.floor(n / 24)]} ${n % 24}:00 to ${(n % 24) + 1}:00: ${value ? label(value) : "no airtime"}`,
    })) : []);
  }
  function drawLifts(scope) {
    const rows = data.lifts.filter((row) => scope.set.has(row[0])).slice(0, facts.lifts).map(([id, started, share, low, high, lift, lo, hi, final, seen]) => ({
      stream: `@${data.creators[id][HANDLE]} · ${moment(started).slice(4)}`, percent: share, percent_lo: low, percent_hi: high,
      tone: lo > 0 ? "lift" : hi < 0 ? "loss" : "effect",
      said: `${gained(lift)} followers (${gained(lo)} to ${gained(hi)})${final ? "" : ", provisional"}${missing(seen) ? "" : `, ${percent(seen)} of the stream seen`}`,
    })).map((row) => ({ ...row, label: `${row.stream}: ${row.said}` }));
    // A narrow screen has no room for the chart and its labels: a list with the same intervals.
    if (at("list-lifts")) at("list-lifts").replaceChildren(...rows.map((row) => {
      const item = make("li"), said = make("span", "muted", row.said);
      item.append(make("b", "", row.stream), " ", said, interval({ lift: row.percent, lift_interval: [row.percent_lo, row.percent_hi], tone: row.tone }, row.label));
      return item;
    }));
    at("part-lifts").textContent = part(rows.length, scope.total.n_lifts || 0, "measured streams of the last 7 days, the surest first", scope);
    const streams = scope.total.streams_week || 0;
    at("none-lifts").textContent = scope.any
      ? streams ? `${scope.who}: none of the ${exactly(streams)} streams of the last 7 days could be measured; the table of streams says why.` : `${scope.who}: no stream began in the last 7 days.`
      : "Nothing can be measured yet: it takes follower counts before and after a stream, and some hours off air.";
    chart("lifts", rows);
  }

  function update() {
    const scope = chosen();
    at("clear").hidden = !scope.any;
    // What vendors cost concerns the one who pays them, not a niche or a creator.
    for (const id of ["vendors", "meaning-requests", "meaning-credits"]) if (at(id)) at(id).hidden = scope.any;
    drawTiles(scope);
    drawTables(scope);
    drawBoard(scope);
    drawCards(scope);
    drawHeat(scope);
    drawLifts(scope);
  }
  // The filter in the address, so that a link opens the same view. A link to an explanation leaves it unchanged.
  function write() {
    const filter = selection(), address = new URLSearchParams();
    if (filter.niche) address.set("niche", filter.niche);
    if (filter.text) address.set("creator", filter.text);
    const text = address.toString();
    try { history.replaceState(null, "", text ? "#" + text : location.pathname + location.search); } catch { if (text) location.hash = text; }
  }
  function read() {
    if (location.hash && !location.hash.includes("=")) return false;
    const address = new URLSearchParams(location.hash.slice(1)), niche = address.get("niche") || "";
    at("niche").value = [...at("niche").options].some((option) => option.value === niche) ? niche : "";
    at("creator").value = (address.get("creator") || "").slice(0, 100);
    return true;
  }
  const changed = () => { shownCards = 12; write(); update(); };

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
    const first = [...metric.options].find((option) => data.boards["week|" + option.value]);
    if (first) metric.value = first.value;
  }
  const redraw = (name, drawing) => () => { delete sorted[name]; drawing(chosen()); };
  at("theme").onclick = () => setTheme(themes[(themes.indexOf(theme) + 1) % 3]);
  at("print").onclick = () => print();
  at("clear").onclick = () => { at("niche").value = ""; at("creator").value = ""; changed(); };
  if (at("more")) at("more").onclick = () => { shownCards = Infinity; drawCards(chosen()); };
  at("niche").onchange = at("creator").oninput = changed;
  if (metric) metric.onchange = redraw("board", drawBoard);
  for (const input of document.querySelectorAll("[name=period]")) input.onchange = redraw("board", drawBoard);
  for (const input of document.querySelectorAll("[name=measure]")) input.onchange = () => drawHeat(chosen());
  for (const button of document.querySelectorAll(".save")) button.onclick = () => save(button.dataset.table);
  // A link to an explanation leaves the filter in the address.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#meaning-"]'), entry = link && at(link.hash.slice(1));
    if (!entry || !chosen().any) return;
    event.preventDefault();
    for (const other of document.querySelectorAll(".sought")) other.classList.remove("sought");
    entry.classList.add("sought");
    entry.scrollIntoView();
  });
  addEventListener("hashchange", () => { if (read()) update(); });
  read();
  update();
  chart("credits", data.credits);
})();
