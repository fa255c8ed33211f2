"use strict";
// The page shows only what is in sight, so it does not matter how much happened. All text gets into the document as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const ROW = 24, TIMES = 180, LANE = 150, SPARE = 12, REACH = 2000;

  // An entry is an array; these are its places.
  const NODE = 0, KIND = 1, WALL = 2, TURN = 3, STEP = 4, TEXT = 5, TO = 6, END = 7, CHANNELS = 8, PAYMENTS = 9, MESSAGE = 10;
  const entries = data.entries;
  const lanes = data.lanes.map(([name, id, recorded], number) => ({ name, id, recorded, x: TIMES + LANE * (number + 0.5) }));
  const whatX = TIMES + LANE * lanes.length + 8;

  // What can be switched on and off, and which kinds that is.
  const KINDS = [
    ["messages", "Messages", ["sent", "received"]],
    ["commits", "Commits", ["commit"]],
    ["requests", "Requests and replies", ["request", "reply"]],
    ["chain", "Blocks", ["chain"]],
    ["broadcasts", "Broadcasts", ["broadcast"]],
    ["connections", "Connections", ["connection"]],
    ["alarms", "Warnings and errors", ["alarm"]],
    ["notes", "Other notes", ["note"]],
    ["others", "Starts and others", ["start", "other"]],
  ];
  const hiddenKinds = new Set();

  /** The rows: the entries that the filters let through; and the way back. */
  let rows = [];
  const rowOf = new Int32Array(entries.length);
  /** Rows that match the search, in order. */
  let hits = [], hitRows = new Set();
  let chosen = -1;

  const isMessage = (entry) => entry[KIND] === "sent" || entry[KIND] === "received";
  const messageOf = (entry) => entry[MESSAGE] || (entry[END] !== null && entries[entry[END]][MESSAGE]) || null;
  const time = (wall) => new Date(wall).toISOString();

  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const drawn = (name, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  /** A mark in a lane: each kind has a shape of its own, for those who see no colours. */
  const mark = (kind, x, y) => {
    const shape = (points) => drawn("path", { class: `mark ${kind}`, d: `M${points.map(([px, py]) => `${x + px},${y + py}`).join("L")}Z` });
    switch (kind) {
      case "commit": return shape([[-5, -5], [5, -5], [5, 5], [-5, 5]]);
      case "request": return shape([[-5, -5], [6, 0], [-5, 5]]);
      case "reply": return shape([[5, -5], [-6, 0], [5, 5]]);
      case "chain": return shape([[-7, -4], [7, -4], [7, 4], [-7, 4]]);
      case "broadcast": return shape([[0, -7], [6, 5], [-6, 5]]);
      case "connection": return shape([[0, -6], [6, 0], [0, 6], [-6, 0]]);
      case "alarm": return shape([[-2, -7], [2, -7], [2, 7], [-2, 7]]);
      case "start": return shape([[-8, -2], [8, -2], [8, 2], [-8, 2]]);
      default: return drawn("circle", { class: `mark ${kind}`, cx: x, cy: y, r: kind === "note" ? 3.5 : 3 });
    }
  };

  // --- Filters and search ---

  /** The numbers of the names that begin with what was typed; null if nothing was. */
  const chosenNames = (input, names) => {
    const typed = input.value.trim().toLowerCase();
    if (typed === "") {
      input.removeAttribute("aria-invalid");
      return null;
    }
    const found = new Set();
    names.forEach((ofOne, number) => {
      if (ofOne.some((name) => name.startsWith(typed))) found.add(number);
    });
    input.setAttribute("aria-invalid", String(found.size === 0));
    return found;
  };

  const filter = () => {
    const channels = chosenNames($("channel"), data.channels);
    const payments = chosenNames($("payment"), data.payments.map((hash) => [hash]));
    const kinds = new Set(KINDS.filter(([id]) => !hiddenKinds.has(id)).flatMap(([, , kinds]) => kinds));
    const about = (wanted, numbers) => wanted === null || numbers.some((number) => wanted.has(number));
    const top = rows[Math.floor(view.scrollTop / ROW)];
    rows = [];
    entries.forEach((entry, number) => {
      const seen = kinds.has(entry[KIND]) && about(channels, entry[CHANNELS]) && about(payments, entry[PAYMENTS]);
      rowOf[number] = seen ? rows.length : -1;
      if (seen) rows.push(number);
    });
    $("count").textContent = `${rows.length} of ${entries.length} entries`;
    $("nothing").hidden = rows.length > 0;
    $("rows").style.height = `${rows.length * ROW}px`;
    // What was in sight stays in sight.
    const kept = chosen >= 0 && rowOf[chosen] >= 0 ? chosen : top;
    if (kept !== undefined) {
      let at = rows.findIndex((number) => number >= kept);
      if (at < 0) at = rows.length - 1;
      if (kept === chosen) reveal(at);
      else view.scrollTop = at * ROW;
    }
    search(false);
  };

  /** All text of an entry, for searches; made when it is first needed. */
  const hay = [];
  const hayOf = (number) => {
    if (hay[number] === undefined) {
      const entry = entries[number], message = messageOf(entry);
      const fields = message ? `${message[0]} ${message[3].join(" ")}` : "";
      hay[number] = `${entry[TEXT]} ${fields} ${time(entry[WALL])} ${entry[TURN]}.${entry[STEP]}`.toLowerCase();
    }
    return hay[number];
  };

  const search = (jump) => {
    const typed = $("search").value.trim().toLowerCase();
    hits = [];
    if (typed !== "") {
      rows.forEach((number, row) => {
        if (hayOf(number).includes(typed)) hits.push(row);
      });
    }
    hitRows = new Set(hits);
    if (jump && hits.length > 0) {
      const first = Math.floor(view.scrollTop / ROW);
      reveal(hits.find((row) => row >= first) ?? hits[0]);
    }
    tellMatches();
    redraw();
  };

  const tellMatches = () => {
    const place = chosen >= 0 ? hits.indexOf(rowOf[chosen]) : -1;
    const typed = $("search").value.trim() !== "";
    $("matches").textContent = !typed ? "" : place >= 0 ? `${place + 1} of ${hits.length}` : `${hits.length} found`;
    $("next").disabled = $("previous").disabled = hits.length === 0;
  };

  const goToHit = (step) => {
    if (hits.length === 0) return;
    const row = chosen >= 0 ? rowOf[chosen] : -1;
    let at;
    if (step > 0) {
      at = hits.find((hit) => hit > row) ?? hits[0];
    } else {
      at = hits.findLast((hit) => row < 0 || hit < row) ?? hits[hits.length - 1];
    }
    choose(rows[at]);
  };

  // --- The diagram ---

  const view = $("view");
  const wires = drawn("svg", { width: whatX, "aria-hidden": "true" });
  /** The rows that are in the document, by entry. */
  const shown = new Map();
  let asked = false;

  const redraw = () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        draw();
      });
    }
  };

  const makeRow = (number) => {
    const entry = entries[number], row = element("div", `row ${entry[KIND]}`);
    row.id = `entry-${number}`;
    row.dataset.entry = number;
    row.setAttribute("role", "option");
    row.append(element("span", "time", time(entry[WALL]).slice(11, 23)), element("span", "at", `${entry[TURN]}.${entry[STEP]}`));
    const message = entry[MESSAGE];
    if (message && entry[TO] !== null) {
      const label = element("span", "label", message[0]);
      label.style.left = `${(lanes[entry[NODE]].x + lanes[entry[TO]].x) / 2}px`;
      row.append(label);
      if (entry[END] === null) row.classList.add("lonely");
    }
    const what = element("span", "what", `${lanes[entry[NODE]].name}: ${entry[TEXT].slice(0, 400)}`);
    what.style.left = `${whatX}px`;
    row.append(what);
    return row;
  };

  const draw = () => {
    const height = view.clientHeight, first = Math.max(0, Math.floor(view.scrollTop / ROW) - SPARE);
    const last = Math.min(rows.length, Math.ceil((view.scrollTop + height) / ROW) + SPARE);
    const wanted = new Set(rows.slice(first, last));
    // The chosen row stays: a screen reader is told its name.
    if (chosen >= 0 && rowOf[chosen] >= 0) wanted.add(chosen);
    for (const [number, row] of shown) {
      if (!wanted.has(number)) {
        row.remove();
        shown.delete(number);
      }
    }
    for (const number of wanted) {
      let row = shown.get(number);
      if (!row) {
        row = makeRow(number);
        shown.set(number, row);
        $("rows").append(row);
      }
      const at = rowOf[number];
      row.style.top = `${at * ROW}px`;
      row.setAttribute("aria-posinset", at + 1);
      row.setAttribute("aria-setsize", rows.length);
      row.setAttribute("aria-selected", String(number === chosen));
      row.classList.toggle("hit", hitRows.has(at));
    }
    if (chosen >= 0 && rowOf[chosen] >= 0) $("rows").setAttribute("aria-activedescendant", `entry-${chosen}`);
    else $("rows").removeAttribute("aria-activedescendant");
    drawWires(first, last);
  };

  const drawWires = (first, last) => {
    const top = first * ROW, tall = (last - first) * ROW;
    wires.style.top = `${top}px`;
    wires.setAttribute("height", tall);
    const y = (row) => (row - first + 0.5) * ROW;
    const parts = lanes.map((lane) => drawn("line", { class: lane.recorded ? "lane" : "lane peer", x1: lane.x, x2: lane.x, y1: 0, y2: tall }));
    const marks = [];
    const arrow = (number, fromX, fromY, toX, toY, lonely) => {
      const isChosen = number === chosen || entries[number][END] === chosen;
      const style = `${lonely ? " lonely" : ""}${isChosen ? " chosen" : ""}`;
      const d = `M${fromX},${fromY}L${toX},${toY}`;
      parts.push(drawn("path", { class: `arrow${style}`, d }), drawn("path", { class: "reach", d, "data-entry": number }));
      const long = Math.hypot(toX - fromX, toY - fromY) || 1, dx = (toX - fromX) / long, dy = (toY - fromY) / long;
      const back = [toX - dx * 9, toY - dy * 9];
      const corner = (side) => `${back[0] - side * dy * 4},${back[1] + side * dx * 4}`;
      parts.push(drawn("path", { class: `head-of-arrow${style}`, d: `M${toX},${toY}L${corner(1)}L${corner(-1)}Z` }));
    };
    // Arrows that began above may end in sight, or below.
    for (let row = Math.max(0, first - REACH); row < last; row++) {
      const number = rows[row], entry = entries[number], x = lanes[entry[NODE]].x;
      const end = isMessage(entry) && entry[END] !== null ? rowOf[entry[END]] : -1;
      if (entry[KIND] === "sent" && end >= first) arrow(number, x, y(row), lanes[entry[TO]].x, y(end), false);
      if (row < first) continue;
      if (isMessage(entry) && entry[END] === null && entry[TO] !== null) {
        const other = lanes[entry[TO]].x;
        if (entry[KIND] === "sent") arrow(number, x, y(row), other, y(row), true);
        else arrow(number, other, y(row), x, y(row), true);
      }
      marks.push(mark(entry[KIND], x, y(row)));
    }
    wires.replaceChildren(...parts, ...marks);
  };

  // --- The chosen entry ---

  const reveal = (row) => {
    const headHeight = $("lanes").offsetHeight, top = row * ROW;
    if (top < view.scrollTop) view.scrollTop = Math.max(0, top - ROW);
    else if (top + ROW + headHeight > view.scrollTop + view.clientHeight) {
      view.scrollTop = top + 2 * ROW + headHeight - view.clientHeight;
    }
  };

  const choose = (number) => {
    chosen = number;
    tell();
    if (rowOf[number] >= 0) reveal(rowOf[number]);
    tellMatches();
    redraw();
  };

  const otherEnd = () => {
    if (chosen < 0 || entries[chosen][END] === null) return;
    const end = entries[chosen][END];
    if (rowOf[end] < 0) showAll();
    choose(end);
  };

  const showAll = () => {
    hiddenKinds.clear();
    document.querySelectorAll("#kinds input").forEach((box) => { box.checked = true; });
    $("channel").value = $("payment").value = "";
    filter();
  };

  const laneName = (number) => `${lanes[number].name} = ${lanes[number].id}`;

  const tell = () => {
    const entry = entries[chosen], message = messageOf(entry), facts = [];
    const fact = (name, ...values) => {
      if (values.length > 0) facts.push(element("dt", "", name), ...values.map((value) => {
        const cell = element("dd", "", typeof value === "string" ? value : undefined);
        if (typeof value !== "string") cell.append(value);
        return cell;
      }));
    };
    const pick = (input, text) => {
      const button = element("button", "", text);
      button.type = "button";
      button.title = "Show only this";
      button.addEventListener("click", () => {
        input.value = text;
        filter();
      });
      return button;
    };
    const names = { sent: "message, sent", received: "message, received", chain: "block or chain", alarm: "warning or error" };
    $("name").textContent = message ? message[0] : names[entry[KIND]] || entry[KIND];
    $("text").textContent = entry[TEXT];
    fact("kind", names[entry[KIND]] || entry[KIND]);
    fact("node", laneName(entry[NODE]));
    if (isMessage(entry)) fact(entry[KIND] === "sent" ? "to" : "from", entry[TO] === null ? "unknown" : laneName(entry[TO]));
    fact("time", time(entry[WALL]));
    fact("turn", `${entry[TURN]}, event ${entry[STEP]}`);
    if (isMessage(entry) && entry[END] !== null) {
      const [sent, received] = entry[KIND] === "sent" ? [entry, entries[entry[END]]] : [entries[entry[END]], entry];
      fact("on its way", `${received[WALL] - sent[WALL]} ms, by the clocks of two nodes`);
    } else if (isMessage(entry)) {
      fact("other end", "not in the recordings");
    }
    fact("channel", ...entry[CHANNELS].map((number) => pick($("channel"), data.channels[number][0])));
    fact("payment", ...entry[PAYMENTS].map((number) => pick($("payment"), data.payments[number])));
    $("facts").replaceChildren(...facts);
    $("end").hidden = entry[END] === null;
    $("fields").hidden = !message;
    if (message) {
      const [, type, length, fields] = message;
      $("fields").caption.textContent = `${type === null ? "" : `type ${type}, `}${length} bytes`;
      const lines = [];
      for (let at = 0; at < fields.length; at += 2) {
        const line = element("tr"), name = element("th", "", fields[at]), value = element("td", "", fields[at + 1]);
        name.scope = "row";
        value.dataset.field = fields[at];
        line.append(name, value);
        lines.push(line);
      }
      $("fields").tBodies[0].replaceChildren(...lines);
    }
    $("panel").hidden = false;
    $("panel").scrollTop = 0;
  };

  const close = () => {
    $("panel").hidden = true;
    chosen = -1;
    tellMatches();
    redraw();
  };

  // --- What people do ---

  const move = (by) => {
    if (rows.length === 0) return;
    const from = chosen >= 0 && rowOf[chosen] >= 0 ? rowOf[chosen] : Math.floor(view.scrollTop / ROW) - Math.sign(by);
    choose(rows[Math.min(rows.length - 1, Math.max(0, from + by))]);
  };

  $("rows").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor((view.clientHeight - $("lanes").offsetHeight) / ROW) - 1);
    const does = {
      ArrowDown: () => move(1), ArrowUp: () => move(-1), PageDown: () => move(page), PageUp: () => move(-page),
      Home: () => move(-rows.length), End: () => move(rows.length), o: otherEnd,
    }[event.key];
    if (does) {
      event.preventDefault();
      does();
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape" && !$("panel").hidden) {
      close();
      $("rows").focus({ preventScroll: true });
    }
    if (event.target.closest("input")) return;
    const does = { "/": () => $("search").focus(), n: () => goToHit(1), N: () => goToHit(-1) }[event.key];
    if (does) {
      event.preventDefault();
      does();
    }
  });

  $("rows").addEventListener("click", (event) => {
    const on = event.target.closest("[data-entry]");
    if (!on) return;
    $("rows").focus({ preventScroll: true });
    choose(Number(on.dataset.entry));
  });
  $("search").addEventListener("input", () => search(true));
  $("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") goToHit(event.shiftKey ? -1 : 1);
  });
  $("next").addEventListener("click", () => goToHit(1));
  $("previous").addEventListener("click", () => goToHit(-1));
  $("channel").addEventListener("input", filter);
  $("payment").addEventListener("input", filter);
  $("end").addEventListener("click", otherEnd);
  $("close").addEventListener("click", close);
  view.addEventListener("scroll", redraw, { passive: true });
  new ResizeObserver(redraw).observe(view);

  // --- The beginning ---

  const names = lanes.filter((lane) => lane.recorded).map((lane) => lane.name).join(", ");
  $("title").textContent = data.from === null ? "Nothing happened" : `${names}, ${data.from} to ${data.to}`;
  document.title = `Timeline of ${names}`;
  for (const lane of lanes) {
    const name = element("span", lane.recorded ? "" : "peer");
    name.style.left = `${lane.x}px`;
    name.title = lane.id;
    name.append(element("b", "", lane.name), lane.recorded ? `${lane.id.slice(0, 12)}…` : "not recorded");
    $("lanes").append(name);
  }
  $("lanes").style.minWidth = $("rows").style.minWidth = `${whatX + 400}px`;
  for (const [id, name, kinds] of KINDS) {
    const label = element("label"), box = element("input"), sign = drawn("svg", { viewBox: "-8 -8 16 16", "aria-hidden": "true" });
    const many = entries.reduce((sum, entry) => sum + kinds.includes(entry[KIND]), 0);
    box.type = "checkbox";
    box.id = `kind-${id}`;
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) hiddenKinds.delete(id);
      else hiddenKinds.add(id);
      filter();
    });
    sign.append(mark(kinds[0], 0, 0));
    label.append(box, " ", sign, ` ${name} (${many})`);
    $("kinds").append(label);
  }
  const option = (list, value, text) => {
    const made = element("option");
    made.value = value;
    if (text) made.label = text;
    $(list).append(made);
  };
  data.channels.forEach(([id, ...others]) => option("channels", id, others.filter((name) => name.includes("x")).join(", ")));
  data.payments.slice(0, 1000).forEach((hash) => option("payments", hash));
  $("rows").append(wires);
  filter();
  $("rows").focus({ preventScroll: true });
})();
