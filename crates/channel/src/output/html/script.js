// What the pages do beyond being read: search, keys, copying. All text from packages is put in as
// text, never as markup.
"use strict";
(() => {
  const root = new URL(document.documentElement.dataset.root, location.href);
  const form = document.getElementById("search");
  const input = form.querySelector("input");
  const select = form.querySelector("select");
  const status = document.getElementById("status");
  const results = document.getElementById("results");
  const content = document.getElementById("content");
  const searchesFiles = form.dataset.search === "files";
  const number = new Intl.NumberFormat("en");
  form.hidden = false;

  // The names: loaded by a script element when somebody searches, because file:// allows no fetch.
  let data = null;
  let isLoading = false;

  const load = () => {
    if (isLoading || searchesFiles) return;
    isLoading = true;
    const script = document.createElement("script");
    script.src = new URL("html/packages.js", root);
    script.onerror = () => {
      isLoading = false;
      status.textContent = "The list of packages could not be loaded.";
    };
    document.head.append(script);
  };

  window.archiconda = (found) => {
    const names = found.packages.map((row) => row[0].toLowerCase());
    const texts = found.packages.map((row) => `${row[0]} ${row[5]} ${row[3]}`.toLowerCase());
    data = { platforms: found.platforms, packages: found.packages, names, texts };
    search();
  };

  // Exact names first, then beginnings, then parts of names, then the rest, each by name.
  const find = (query, platform) => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    const bits = [platform, "noarch"]
      .map((name) => (platform ? data.platforms.indexOf(name) : -1))
      .filter((position) => position >= 0)
      .map((position) => 2 ** position);
    const ranks = [[], [], [], []];
    for (let at = 0; at < data.packages.length; at += 1) {
      const text = data.texts[at];
      if (!words.every((word) => text.includes(word))) continue;
      const row = data.packages[at];
      if (platform && !bits.some((bit) => Math.floor(row[4] / bit) % 2 === 1)) continue;
      const name = data.names[at];
      const first = words[0] ?? "";
      const rank = name === first ? 0 : name.startsWith(first) ? 1 : name.includes(first) ? 2 : 3;
      ranks[rank].push(row);
    }
    return ranks.flat();
  };

  const element = (tag, text, ...children) => {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  };

  const tableRow = ([name, version, day, licence, bits, summary, page]) => {
    const link = element("a", name);
    link.className = "name";
    link.href = new URL(`packages/${page ?? name}.html`, root);
    const head = element("th", "", link, ...(summary ? [element("p", summary)] : []));
    head.scope = "row";
    const time = element("time", day);
    time.dateTime = day;
    const platforms = element("ul");
    platforms.className = "platforms";
    data.platforms.forEach((platform, position) => {
      if (Math.floor(bits / 2 ** position) % 2 === 1) platforms.append(element("li", platform));
    });
    return element(
      "tr", "", head, element("td", version), element("td", "", ...(day ? [time] : [])),
      element("td", licence), element("td", "", platforms),
    );
  };

  const show = (found) => {
    const table = element("table");
    table.className = "packages";
    const body = element("tbody");
    const titles = ["Package", "Version", "Updated", "Licence", "Platforms"].map((title) => {
      const cell = element("th", title);
      cell.scope = "col";
      return cell;
    });
    table.append(element("caption", "Packages found"), element("thead", "", element("tr", "", ...titles)), body);
    const button = element("button");
    button.type = "button";
    let shown = 0;
    const more = (count) => {
      body.append(...found.slice(shown, shown + count).map(tableRow));
      shown = Math.min(found.length, shown + count);
      button.hidden = shown >= found.length;
      button.textContent = `Show more (${number.format(found.length - shown)})`;
    };
    button.addEventListener("click", () => more(300));
    more(40);
    results.replaceChildren(...(found.length ? [table, button] : []));
  };

  const searchPackages = () => {
    const query = input.value.trim();
    const platform = select.value;
    const isActive = query !== "" || platform !== "";
    results.hidden = !isActive;
    content.hidden = isActive;
    keep(query);
    if (!isActive) {
      status.textContent = "";
      results.replaceChildren();
      return;
    }
    if (!data) {
      status.textContent = "Loading…";
      load();
      return;
    }
    const found = find(query, platform);
    status.textContent = `${number.format(found.length)} of ${number.format(data.packages.length)} packages`;
    show(found);
  };

  // The address keeps the search of the channel's page, so that "back" leads to it.
  const keep = (query) => {
    if (root.pathname !== new URL(".", location.href).pathname) return;
    try {
      history.replaceState(null, "", query ? `#q=${encodeURIComponent(query)}` : "#");
    } catch {
      // Some browsers allow no such thing for files; the search works all the same.
    }
  };

  const searchFiles = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    let all = 0;
    for (const table of content.querySelectorAll("table.files")) {
      let seen = 0;
      for (const row of table.tBodies[0].rows) {
        const name = row.cells[0].textContent.toLowerCase();
        row.hidden = !words.every((word) => name.includes(word));
        seen += row.hidden ? 0 : 1;
        all += 1;
      }
      table.hidden = seen === 0;
      count += seen;
    }
    status.textContent = words.length ? `${number.format(count)} of ${number.format(all)} files` : "";
  };

  const search = searchesFiles ? searchFiles : searchPackages;
  const names = () => [...document.querySelectorAll("#results a.name, #content a.name")].filter((link) => link.offsetParent);

  input.addEventListener("input", search);
  input.addEventListener("focus", load);
  if (select) select.addEventListener("input", search);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const first = results.querySelector("a.name");
    if (first && !results.hidden) location.assign(first.href);
  });

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    const isTyping = target.matches("input, select, textarea");
    if (event.key === "/" && (!isTyping || (target === input && input.value === ""))) {
      event.preventDefault();
      input.focus();
      input.select();
    } else if (event.key === "Escape" && input.value !== "") {
      event.preventDefault();
      input.value = "";
      search();
      input.focus();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (target !== input && !target.matches("a.name")) return;
      const links = names();
      const next = links.indexOf(target) + (event.key === "ArrowDown" ? 1 : -1);
      event.preventDefault();
      if (next < 0) input.focus();
      else links[next]?.focus();
    }
  });

  // Commands: where the channel is, and a button that copies.
  const place = root.href.replace(/\/$/, "").replace(/'/g, "%27");
  const address = /^[\w:/.~%+@-]*$/.test(place) ? place : `'${place}'`;
  for (const span of document.querySelectorAll(".address")) span.textContent = address;

  const copy = async (text) => {
    if (navigator.clipboard) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {
        // Not allowed here: the old way may be.
      }
    }
    const area = element("textarea", text);
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };

  for (const command of document.querySelectorAll("pre.command")) {
    const button = element("button", "Copy");
    button.type = "button";
    button.setAttribute("aria-label", `Copy the line for ${command.dataset.tool}`);
    button.addEventListener("click", async () => {
      const done = await copy(command.querySelector("code").textContent);
      button.textContent = done ? "Copied" : "Not copied";
      status.textContent = done ? `The line for ${command.dataset.tool} is copied.` : "Copying is not allowed here.";
      button.focus();
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    command.after(button);
  }

  if (!searchesFiles && location.hash.startsWith("#q=")) {
    try {
      input.value = decodeURIComponent(location.hash.slice(3));
    } catch {
      // Somebody has written the address by hand.
    }
  }
  // The browser may have kept what was typed.
  if (input.value || (select && select.value)) search();
})();
