// The page of `exp show --html` and `plots show`: a table, and pictures of what is chosen in it.
// Everything it shows is in the JSON of the element #data; see docs/reference/html-page.md.
"use strict";
(() => {
  const DATA = JSON.parse(document.getElementById("data").textContent);
  const { columns, rows, charts, images, dag } = DATA;
  const COLORS = DATA.colors;
  const ROW_HEIGHT = 28;
  const MOST_LINES = 2000;

  // -- small tools ---------------------------------------------------------------------------

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value != null) made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child != null));
    return made;
  };
  const $ = (id) => document.getElementById(id);
  const isNumber = (value) => typeof value === "number";
  const shown = (value) => {
    if (value == null) return "–";
    if (isNumber(value)) return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(5)));
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  };
  const moment = (seconds) => {
    if (!seconds) return "–";
    const at = new Date(seconds * 1000);
    const two = (n) => String(n).padStart(2, "0");
    return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
  };

  // -- columns: those every row has of its own, then values -----------------------------------

  const own = [
    { header: "Experiment", key: "name", get: (row) => row.name },
    { header: "Created", key: "created", get: (row) => row.created, text: moment },
    { header: "State", key: "state", get: (row) => row.state || null },
    { header: "Tags", key: "tags", get: (row) => (row.tags.length ? row.tags.join(", ") : null) },
    { header: "Note", key: "note", get: (row) => row.note || null },
  ].filter((column) => ["name", "created"].includes(column.key) || rows.some((row) => column.get(row) != null));
  const all = [
    ...own,
    ...columns.map((column, i) => ({ ...column, key: `c${i}`, get: (row) => row.values[i] })),
  ];
  for (const column of all) {
    const values = rows.map(column.get);
    const there = values.filter((value) => value != null);
    column.isNumber = there.length > 0 && there.every(isNumber) && column.key !== "created";
    column.text = column.text || shown;
    const first = JSON.stringify(values[0]);
    column.varies = values.some((value) => JSON.stringify(value ?? null) !== (first ?? "null"));
    const sample = values.slice(0, 300).map((value) => column.text(value).length);
    column.width = Math.min(280, Math.max(64, 26 + 7.6 * Math.max(column.header.length + 2, ...sample)));
  }
  const values = all.filter((column) => column.kind);
  const varying = values.filter((column) => column.varies);

  const state = {
    sort: null, down: false, query: "",
    hidden: new Set(rows.length > 1 ? values.filter((column) => !column.varies).map((c) => c.key) : []),
    chosen: new Set(), rows,
  };

  // -- queries: the language of `exp show --filter`; see docs/how-to/compare.md ----------------

  const TOKEN = /\s*(?:(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?)(?![\w.])|([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([smhdw]?)(?![\w.])|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|`([^`]+)`|(=~|!~|==|!=|<=|>=|<|>|=|\(|\)|\[|\]|,|&&|\|\||!)|([\p{L}_][\p{L}\p{N}_./@-]*(?::[\p{L}\p{N}_./"-]+)?))/uy;
  const UNITS = { s: 1, m: 60, h: 3600, d: 86400, w: 604800, "": 1 };
  const SAME = { __proto__: null, "&&": "and", "||": "or", "!": "not", "=": "==", "[": "(", "]": ")" };
  const COMPARED = new Set(["==", "!=", "<", "<=", ">", ">=", "=~", "!~", "in"]);
  const CONSTANTS = { __proto__: null, true: true, false: false, null: null, none: null, nan: NaN };

  function tokens(text) {
    const found = [];
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < text.trimEnd().length) {
      const at = TOKEN.lastIndex;
      const match = TOKEN.exec(text);
      if (!match) throw new Error(`not understood at ${text.slice(at).trim().slice(0, 20)}`);
      const [, date, number, unit, quoted, ticked, sign, word] = match;
      if (date) found.push({ value: new Date(date.replace(" ", "T") + (date.length === 10 ? "T00:00" : "")) / 1000 });
      else if (number) found.push({ value: Number(number.replaceAll("_", "")) * UNITS[unit] });
      else if (quoted) found.push({ value: quoted.slice(1, -1).replace(/\\(.)/g, "$1") });
      else if (ticked) found.push({ name: ticked });
      else if (sign) found.push({ sign: SAME[sign] || sign });
      else if (["and", "or", "not", "in", "is"].includes(word.toLowerCase())) found.push({ sign: word.toLowerCase() });
      else if (word.toLowerCase() in CONSTANTS) found.push({ value: CONSTANTS[word.toLowerCase()] });
      else found.push({ name: word });
    }
    return found;
  }

  const OWN = {
    __proto__: null,
    experiment: (row) => row.name, name: (row) => row.name, created: (row) => row.created,
    age: (row) => (row.created ? Date.now() / 1000 - row.created : null), seconds: (row) => row.seconds,
    state: (row) => row.status, tags: (row) => row.tags, note: (row) => row.note, id: (row) => row.id,
    step: (row) => row.step || null,
    parent: (row) => row.parent,
  };
  function columnOf(name) {
    const found = values.find((c) => c.header === name || `${c.file}:${c.name}` === name);
    if (found) return found.get;
    const named = values.filter((c) => c.name === name);
    if (named.length > 1) throw new Error(`${name} is in several files`);
    if (named.length) return named[0].get;
    const get = OWN[name.toLowerCase()];
    if (!get) throw new Error(`no column ${name}`);
    return get;
  }

  const equal = (a, b) => {
    if (typeof a === "boolean" || typeof b === "boolean") return a === b;
    if (a == null || b == null) return a == null && b == null;
    return Number.isNaN(a) ? Number.isNaN(b) : typeof a === "object" ? JSON.stringify(a) === JSON.stringify(b) : a === b;
  };
  const ordered = (a, b) => typeof a === typeof b && (isNumber(a) || typeof a === "string");
  const TESTS = {
    "==": equal,
    "!=": (a, b) => !equal(a, b),
    "<": (a, b) => ordered(a, b) && a < b,
    "<=": (a, b) => ordered(a, b) && a <= b,
    ">": (a, b) => ordered(a, b) && a > b,
    ">=": (a, b) => ordered(a, b) && a >= b,
    in: (a, b) => (Array.isArray(b) ? b.some((each) => equal(a, each)) : typeof a === "string" && typeof b === "string" && b.includes(a)),
    "=~": (a, b) => [a].flat().some((each) => typeof each === "string" && new RegExp(b, "u").test(each)),
    "not in": (a, b) => !TESTS.in(a, b),
    "!~": (a, b) => !TESTS["=~"](a, b),
  };

  // A value that is the same in every row; comparing nothing but such values is a mistake.
  const constant = (value) => Object.assign(() => value, { constant: value });
  function refuseConstants(...gets) {
    const known = gets.map((get) => get.constant);
    if (known.includes(undefined) || known.every((each) => each === null)) return;
    const text = known.find((each) => typeof each === "string");
    throw new Error(`no column to compare${text === undefined ? "" : `; a column goes between backquotes: \`${text}\``}`);
  }

  function query(text) {
    if (!text.trim()) return () => true;
    const parts = tokens(text);
    if (parts.every((part) => part.name !== undefined) && !parts.some((part) => part.name.toLowerCase() in OWN || values.some((c) => c.header === part.name))) {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      return (row) => {
        const whole = [row.name, row.state, row.note, ...row.tags].join(" ").toLowerCase();
        return words.every((word) => whole.includes(word) || (row.id || "").startsWith(word));
      };
    }
    let next = 0;
    const sign = () => parts[next]?.sign || "";
    const take = (...signs) => (signs.includes(sign()) ? parts[next++].sign : "");
    const either = () => {
      const made = [both()];
      while (take("or")) made.push(both());
      return (row) => made.some((ask) => ask(row));
    };
    const both = () => {
      const made = [one()];
      while (take("and")) made.push(one());
      return (row) => made.every((ask) => ask(row));
    };
    const one = () => {
      let turns = 0;
      while (take("not")) turns += 1;
      const made = grouped() || comparison();
      return turns % 2 ? (row) => !made(row) : made;
    };
    const grouped = () => {
      if (sign() !== "(") return null;
      const start = next++;
      const made = either();
      if (!take(")")) throw new Error("')' expected");
      if (!COMPARED.has(sign()) && !["is", "not"].includes(sign())) return made;
      next = start;
      return null;
    };
    const compared = () => {
      if (take("is")) return take("not") ? "!=" : "==";
      if (sign() === "not" && parts[next + 1]?.sign === "in") {
        next += 2;
        return "not in";
      }
      return take(...COMPARED);
    };
    const comparison = () => {
      let left = value(true);
      const steps = [];
      for (let word = compared(); word; word = compared()) {
        const test = TESTS[word];
        const right = value(false);
        refuseConstants(left, right);
        const before = left;
        steps.push((row) => test(before(row), right(row)));
        left = right;
      }
      if (!steps.length && typeof left.constant === "string") refuseConstants(left);
      return steps.length ? (row) => steps.every((step) => step(row)) : (row) => Boolean(left(row));
    };
    const value = (isFirst) => {
      if (take("(")) {
        const several = [value(false)];
        while (take(",")) if (sign() !== ")") several.push(value(false));
        if (!take(")")) throw new Error("')' expected");
        if (several.every((each) => each.constant !== undefined)) return constant(several.map((each) => each.constant));
        return (row) => several.map((each) => each(row));
      }
      const part = parts[next];
      if (!part || part.sign) throw new Error("a column or a value expected");
      next += 1;
      if (part.name === undefined) return constant(part.value);
      if (isFirst) return columnOf(part.name);
      try { return columnOf(part.name); } catch { return constant(part.name); }
    };
    const made = either();
    if (next < parts.length) throw new Error("'and' or 'or' expected");
    return made;
  }

  // -- the table: only the rows in sight are in the document -----------------------------------

  const visible = () => all.filter((column) => !state.hidden.has(column.key));

  const RANKS = { number: 0, string: 1 };
  function arrange() {
    try {
      const ask = query(state.query);
      state.rows = rows.filter(ask);
      $("fault").textContent = "";
    } catch (error) {
      $("fault").textContent = error.message;
      return;
    }
    const column = all.find((each) => each.key === state.sort);
    if (column) {
      const rank = (value) => (value == null || Number.isNaN(value) ? null : RANKS[typeof value] ?? 2);
      const keyed = state.rows.map((row) => {
        const value = column.get(row);
        return { row, rank: rank(value), value: typeof value === "object" && value ? JSON.stringify(value) : value };
      });
      const there = keyed.filter((each) => each.rank !== null);
      const way = state.down ? -1 : 1;
      there.sort((a, b) => way * (a.rank - b.rank || (a.value < b.value ? -1 : a.value > b.value ? 1 : 0)));
      state.rows = [...there, ...keyed.filter((each) => each.rank === null)].map((each) => each.row);
    }
    $("count").textContent = state.rows.length === rows.length ? `${rows.length} rows` : `${state.rows.length} of ${rows.length} rows`;
    drawHead();
    $("scroll").scrollTop = 0;
    drawRows();
  }

  function drawHead() {
    const columns = visible();
    const widths = [36, ...columns.map((column) => column.width)];
    $("grid").style.width = `${widths.reduce((a, b) => a + b)}px`;
    $("widths").replaceChildren(...widths.map((width) => {
      const made = element("col");
      made.style.width = `${width}px`;
      return made;
    }));
    $("head").replaceChildren(
      element("th", { scope: "col", "aria-label": "chosen" }),
      ...columns.map((column) => {
        const isSorted = state.sort === column.key;
        const arrow = isSorted ? (state.down ? " ▼" : " ▲") : "";
        const classes = [column.kind || "", column.key === "name" ? "first" : "", column.isNumber ? "number" : ""];
        return element(
          "th",
          { scope: "col", class: classes.join(" ").trim(), title: column.file ? `${column.kind} ${column.file}:${column.name}` : null, "aria-sort": isSorted ? (state.down ? "descending" : "ascending") : "none" },
          element("button", { onclick: () => sortBy(column.key) }, column.header + arrow),
        );
      }),
    );
  }

  function sortBy(key) {
    const column = all.find((each) => each.key === key);
    if (state.sort !== key) [state.sort, state.down] = [key, column.kind === "metric"];
    else if (state.down === (column.kind === "metric")) state.down = !state.down;
    else state.sort = null;
    arrange();
  }

  function drawRows() {
    const scroll = $("scroll");
    const columns = visible();
    const first = Math.max(0, Math.floor(scroll.scrollTop / ROW_HEIGHT) - 10);
    const last = Math.min(state.rows.length, first + Math.ceil(scroll.clientHeight / ROW_HEIGHT) + 20);
    const space = (count) => {
      const cell = element("td", { colspan: columns.length + 1 });
      cell.style.height = `${count * ROW_HEIGHT}px`;
      return element("tr", { class: "space" }, cell);
    };
    const lines = state.rows.slice(first, last).map((row) => {
      const box = element("input", { type: "checkbox", "aria-label": `choose ${row.name}`, onchange: () => choose(row) });
      box.checked = state.chosen.has(row.name);
      const line = element("tr", { class: state.chosen.has(row.name) ? "chosen" : null }, element("td", {}, box));
      for (const column of columns) {
        const value = column.get(row);
        const classes = [column.isNumber ? "number" : "", value == null ? "missing" : "", column.key === "name" ? "first name" : ""];
        const cell = element("td", { class: classes.join(" ").trim(), title: value == null ? null : column.key === "created" ? moment(value) : typeof value === "object" ? JSON.stringify(value) : value }, column.text(value));
        line.append(cell);
      }
      return line;
    });
    $("body").replaceChildren(space(first), ...lines, space(state.rows.length - last));
  }

  function choose(row) {
    if (!state.chosen.delete(row.name)) state.chosen.add(row.name);
    drawRows();
    drawChips();
  }

  // -- what is chosen -------------------------------------------------------------------------

  const withPictures = new Set([
    ...charts.flatMap((chart) => Object.keys(chart.points)),
    ...images.flatMap((image) => Object.keys(image.pictures)),
  ]);
  const names = rows.map((row) => row.name);
  const steps = new Set(rows.filter((row) => row.status === "step").map((row) => row.name));
  const colorOf = (name) => COLORS[Math.max(0, chosenNames().indexOf(name)) % COLORS.length];
  function chosenNames() {
    const chosen = names.filter((name) => state.chosen.has(name) && withPictures.has(name));
    if (chosen.length) return chosen;
    const there = names.filter((name) => withPictures.has(name));
    const whole = there.filter((name) => !steps.has(name));
    return (whole.length ? whole : there).slice(0, DATA.first);
  }

  function drawChips() {
    const chosen = chosenNames();
    const isFew = withPictures.size <= 12;
    const listed = isFew ? names.filter((name) => withPictures.has(name)) : chosen;
    for (const bar of document.querySelectorAll(".chips")) {
      bar.replaceChildren(...listed.map((name) => {
        const swatch = element("span", { class: "swatch" });
        swatch.style.background = chosen.includes(name) ? colorOf(name) : "var(--line)";
        return element("button", {
          class: "chip", "aria-pressed": String(chosen.includes(name)),
          onclick: () => {
            const set = new Set(chosen);
            if (!set.delete(name)) set.add(name);
            state.chosen = set;
            drawChips();
            if (DATA.hasTable) drawRows();
            redraw();
          },
        }, swatch, name);
      }));
    }
    $("chosen").textContent = state.chosen.size ? `${state.chosen.size} chosen` : "";
    $("clear").hidden = !state.chosen.size;
  }

  // -- pictures by Vega -----------------------------------------------------------------------

  const views = [];
  const ink = () => getComputedStyle(document.body).color;
  function config() {
    const color = ink();
    const axis = { labelColor: color, titleColor: color, gridColor: "rgba(128,128,128,0.25)", domainColor: "gray", tickColor: "gray", labelOverlap: true };
    return {
      background: "transparent", font: "system-ui, sans-serif", view: { stroke: "transparent" }, axis,
      legend: { labelColor: color, titleColor: color, labelLimit: 240, symbolOpacity: 1 }, title: { color }, header: { labelColor: color, titleColor: color },
    };
  }
  async function draw(holder, spec) {
    try {
      const made = (spec.$schema || "").includes("/vega/v")
        ? { ...spec, config: config() }
        : vegaLite.compile({ ...spec, config: { ...config(), ...(spec.config || {}) } }).spec;
      const bindings = element("div", { class: "vega-bindings" });
      const plane = element("div");
      holder.append(plane, bindings);
      const view = new vega.View(vega.parse(made, null, { ast: true }), {
        expr: vegaInterpreter.expressionInterpreter, renderer: "canvas", hover: true, container: plane, bind: bindings,
        loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse }, logLevel: vega.Error,
      });
      views.push(view);
      await view.runAsync();
    } catch (error) {
      holder.append(element("p", { class: "fault" }, `cannot be drawn: ${error.message}`));
    }
  }
  const refuse = () => Promise.reject(new Error("the page loads nothing"));
  const finish = () => { while (views.length) views.pop().finalize(); };

  function filled(value, given) {
    if (typeof value === "string" && Object.hasOwn(given, value)) return given[value];
    if (Array.isArray(value)) return value.map((each) => filled(each, given));
    if (value && typeof value === "object")
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, filled(inner, given)]));
    return value;
  }

  function drawCharts() {
    const chosen = chosenNames();
    const cards = charts.map((chart) => {
      const revs = chosen.filter((name) => Object.hasOwn(chart.points, name));
      const points = revs.flatMap((rev) => {
        const { fields, rows } = chart.points[rev];
        return rows.map((row) => ({ ...Object.fromEntries(fields.map((field, i) => [field, row[i]])), rev }));
      });
      const card = element("div", { class: "card", "data-chart": chart.id }, element("h2", {}, chart.id));
      if (!revs.length) card.append(element("p", { class: "note" }, "none of the chosen ones has it"));
      else draw(card, filled(chart.spec, { "@points": points, "@revs": revs, "@colors": revs.map(colorOf) }));
      return card;
    });
    $("charts").replaceChildren(...cards);
  }

  function drawImages() {
    const chosen = chosenNames();
    $("pictures").replaceChildren(...images.map((image) => element(
      "div", { class: "card" }, element("h2", {}, image.id),
      element("div", { class: "pictures" }, ...chosen.filter((name) => Object.hasOwn(image.pictures, name)).map((name) => element(
        "figure", {}, element("figcaption", {}, name), element("img", { src: image.pictures[name], alt: `${image.id} of ${name}` }),
      ))),
    )));
  }

  // -- parallel coordinates and scatter, of the rows that the query lets through -----------------

  const axes = varying.filter((column) => column.kind !== "dep");
  const picked = new Set([...axes.filter((c) => c.kind === "param").slice(0, 6), ...axes.filter((c) => c.kind === "metric").slice(0, 3)].map((c) => c.key));
  const option = (column) => element("option", { value: column.key }, column.header);

  function drawParallel() {
    const dimensions = axes.filter((column) => picked.has(column.key));
    const color = axes.find((column) => column.key === $("parallel-color").value);
    const some = state.rows.slice(0, MOST_LINES);
    $("parallel-note").textContent = state.rows.length > MOST_LINES ? `the first ${MOST_LINES} of ${state.rows.length} rows` : "";
    const holder = $("parallel-plane");
    holder.replaceChildren();
    if (dimensions.length < 2) {
      holder.append(element("p", { class: "note" }, "Pick at least two columns."));
      return;
    }
    const plain = (value) => (value == null || isNumber(value) ? value ?? null : typeof value === "object" ? JSON.stringify(value) : String(value));
    const table = some.map((row) => ({ name: row.name, chosen: state.chosen.has(row.name), shade: color ? plain(color.get(row)) : null, ...Object.fromEntries(dimensions.map((d) => [d.key, plain(d.get(row))])) }))
      .filter((row) => dimensions.every((d) => row[d.key] !== null));
    const width = Math.max(480, Math.min(holder.clientWidth - 120, 170 * dimensions.length));
    const scales = dimensions.map((d) => ({
      name: d.key, range: "height",
      ...(d.isNumber ? { type: "linear", zero: false, nice: true } : { type: "point", padding: 0.5 }),
      domain: { data: "rows", field: d.key },
    }));
    const shade = color && { name: "shade", ...(color.isNumber ? { type: "linear", range: { scheme: "viridis" }, zero: false } : { type: "ordinal", range: { scheme: "category10" } }), domain: { data: "rows", field: "shade" } };
    draw(holder, {
      $schema: "https://vega.github.io/schema/vega/v6.json", width, height: 360, padding: 10, autosize: { type: "pad" },
      data: [{ name: "rows", values: table }, { name: "fields", values: dimensions.map((d) => d.key) }],
      scales: [{ name: "across", type: "point", range: "width", round: true, domain: dimensions.map((d) => d.key) }, ...scales, ...(shade ? [shade] : [])],
      axes: dimensions.map((d) => ({ orient: "left", scale: d.key, zindex: 5, offset: { scale: "across", value: d.key, mult: -1 }, title: d.header, titleAngle: 0, titleAlign: "center", titleAnchor: "end", titleY: -18, titleX: 0, titleLimit: 160, tickCount: 6 })),
      legends: color ? [{ stroke: "shade", fill: color.isNumber ? "shade" : undefined, title: color.header, ...(color.isNumber ? { type: "gradient" } : {}) }] : [],
      marks: [{
        type: "group", from: { data: "rows" },
        marks: [{
          type: "line", from: { data: "fields" },
          encode: {
            enter: {
              x: { scale: "across", field: "data" },
              y: { scale: { datum: "data" }, field: { parent: { datum: "data" } } },
              stroke: color ? { scale: "shade", field: { parent: "shade" } } : { value: COLORS[0] },
              strokeWidth: { signal: "parent.chosen ? 3 : 1.2" }, tooltip: { field: { parent: "name" } },
              strokeOpacity: { signal: `parent.chosen ? 1 : ${table.length > 300 ? 0.25 : 0.6}` },
            },
          },
        }],
      }],
    });
  }

  function drawScatter() {
    const find = (id) => axes.find((column) => column.key === $(id).value);
    const [x, y, color] = ["scatter-x", "scatter-y", "scatter-color"].map(find);
    const holder = $("scatter-plane");
    holder.replaceChildren();
    if (!x || !y) return;
    const points = state.rows.map((row) => ({ name: row.name, chosen: state.chosen.has(row.name), x: x.get(row), y: y.get(row), shade: color ? color.get(row) : null }))
      .filter((point) => point.x != null && point.y != null);
    const channel = (column, field, isLog) => ({ field, title: column.header, ...(column.isNumber ? { type: "quantitative", scale: isLog ? { type: "log" } : { zero: false } } : { type: "nominal" }) });
    draw(holder, {
      $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: Math.max(400, Math.min(900, holder.clientWidth - 220)), height: 420,
      data: { values: points }, params: [{ name: "grid", select: "interval", bind: "scales" }],
      mark: { type: "point", filled: true },
      encoding: {
        x: channel(x, "x", $("log-x").checked), y: channel(y, "y", $("log-y").checked),
        color: color ? { ...channel(color, "shade", false), ...(color.isNumber ? { scale: { scheme: "viridis" } } : {}) } : { value: COLORS[0] },
        size: { condition: { test: "datum.chosen", value: 160 }, value: 50 }, opacity: { value: 0.8 },
        tooltip: [{ field: "name" }, { field: "x", title: x.header }, { field: "y", title: y.header }, ...(color ? [{ field: "shade", title: color.header }] : [])],
      },
    });
  }

  // -- the pipeline: stages in rows by how much they wait for ------------------------------------

  function drawDag() {
    const level = new Map();
    const before = new Map(dag.nodes.map((name) => [name, []]));
    for (const [a, b] of dag.edges) before.get(b).push(a);
    const levelOf = (name) => {
      if (!level.has(name)) {
        level.set(name, 0);
        level.set(name, Math.max(-1, ...before.get(name).map(levelOf)) + 1);
      }
      return level.get(name);
    };
    const ranks = [];
    for (const name of dag.nodes) (ranks[levelOf(name)] ||= []).push(name);
    const place = new Map();
    const wide = (name) => 24 + 7.2 * name.length;
    let most = 0;
    ranks.forEach((rank, i) => {
      const middle = (name) => {
        const xs = before.get(name).map((each) => place.get(each).x + place.get(each).width / 2);
        return xs.length ? xs.reduce((a, b) => a + b) / xs.length : 0;
      };
      let x = 0;
      for (const name of rank.sort((a, b) => middle(a) - middle(b))) {
        place.set(name, { x, y: i * 76, width: wide(name) });
        x += wide(name) + 24;
      }
      most = Math.max(most, x);
    });
    ranks.forEach((rank) => {
      const last = place.get(rank.at(-1));
      const shift = (most - (last.x + last.width)) / 2;
      for (const name of rank) place.get(name).x += shift;
    });
    const svg = (tag, attributes, ...children) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.append(...children);
      return made;
    };
    const height = ranks.length * 76;
    $("dag-plane").replaceChildren(svg(
      "svg", { class: "dag", width: most + 40, height, viewBox: `-20 -10 ${most + 40} ${height}`, role: "img", "aria-label": "stages and what they wait for" },
      ...dag.edges.map(([a, b]) => {
        const [from, to] = [place.get(a), place.get(b)];
        const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + 34, to.x + to.width / 2, to.y];
        return svg("path", { d: `M${x1} ${y1} C${x1} ${y1 + 24} ${x2} ${y2 - 24} ${x2} ${y2}` });
      }),
      ...dag.nodes.flatMap((name) => {
        const { x, y, width } = place.get(name);
        return [svg("rect", { x, y, width, height: 34 }), svg("text", { x: x + width / 2, y: y + 22, "text-anchor": "middle" }, name)];
      }),
    ));
  }

  // -- putting it together --------------------------------------------------------------------

  const TABS = [
    ["table", "Table", DATA.hasTable, () => drawRows()],
    ["curves", "Curves", charts.length > 0, drawCharts],
    ["parallel", "Parallel", DATA.hasTable && axes.length > 1, drawParallel],
    ["scatter", "Scatter", DATA.hasTable && axes.length > 1, drawScatter],
    ["images", "Images", images.length > 0, drawImages],
    ["dag", "Pipeline", dag.nodes.length > 0, drawDag],
  ].filter(([, , isThere]) => isThere);
  let current = "";
  function redraw() {
    finish();
    TABS.find(([id]) => id === current)?.[3]();
  }
  function open(id) {
    current = id;
    for (const [each] of TABS) {
      $(`tab-${each}`).setAttribute("aria-selected", String(each === id));
      $(each).hidden = each !== id;
    }
    redraw();
  }

  document.title = DATA.title;
  $("title").textContent = DATA.title;
  $("made").textContent = `made ${DATA.made}`;
  $("tabs").append(...TABS.map(([id, words]) => element("button", { id: `tab-${id}`, role: "tab", "aria-controls": id, onclick: () => open(id) }, words)));
  for (const note of DATA.notes) $("notes").append(element("p", { class: "note" }, note));
  $("notes").hidden = !DATA.notes.length;
  let waiting = 0;
  $("query").addEventListener("input", (event) => {
    state.query = event.target.value;
    clearTimeout(waiting);
    waiting = setTimeout(arrange, 60);
  });
  let isDue = false;
  $("scroll").addEventListener("scroll", () => {
    if (!isDue) requestAnimationFrame(() => { isDue = false; drawRows(); });
    isDue = true;
  });
  addEventListener("resize", () => current === "table" && drawRows());
  $("clear").addEventListener("click", () => { state.chosen.clear(); drawRows(); drawChips(); });
  $("columns").addEventListener("click", () => {
    const menu = $("columns-menu");
    menu.hidden = !menu.hidden;
    if (menu.hidden) return;
    const box = (column) => {
      const made = element("input", { type: "checkbox", onchange: () => { if (!state.hidden.delete(column.key)) state.hidden.add(column.key); drawHead(); drawRows(); } });
      made.checked = !state.hidden.has(column.key);
      return element("label", {}, made, column.header);
    };
    const set = (keys) => () => { state.hidden = new Set(keys); menu.hidden = true; drawHead(); drawRows(); };
    menu.replaceChildren(
      element("div", { class: "bar" },
        element("button", { onclick: set([]) }, "All"),
        element("button", { onclick: set(values.filter((c) => !c.varies).map((c) => c.key)) }, "Those that vary"),
        element("button", { onclick: set(values.map((c) => c.key)) }, "None")),
      ...all.slice(1).map(box),
    );
  });
  document.addEventListener("click", (event) => {
    if (!event.target.closest(".menu")) $("columns-menu").hidden = true;
  });
  for (const id of ["scatter-x", "scatter-y", "scatter-color", "parallel-color"]) {
    if (id.endsWith("color")) $(id).append(element("option", { value: "" }, "one colour"));
    $(id).append(...axes.map(option));
    $(id).addEventListener("change", redraw);
  }
  const firstOf = (kind) => axes.find((column) => column.kind === kind && column.isNumber);
  const start = [firstOf("param") || axes[0], firstOf("metric") || axes[1]];
  if (start[0] && start[1]) {
    [$("scatter-x").value, $("scatter-y").value] = start.map((column) => column.key);
    $("parallel-color").value = start[1].key;
  }
  for (const id of ["log-x", "log-y"]) $(id).addEventListener("change", redraw);
  $("axes").append(...axes.slice(0, 60).map((column) => {
    const box = element("input", { type: "checkbox", onchange: () => { if (!picked.delete(column.key)) picked.add(column.key); redraw(); } });
    box.checked = picked.has(column.key);
    return element("label", {}, box, column.header);
  }));
  if (DATA.hasTable) arrange();
  drawChips();
  if (TABS.length) open(TABS[0][0]);
})();
