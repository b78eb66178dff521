// Draws a conversation as a sequence diagram that grows: a list, so that it can be read and walked through by keys too.

const LIFELINES = ["Payer", "Shop", "Tollhouse"];
const KINDS = { call: "call", answer: "answer", webhook: "webhook", state: "state", payer: "payer" };

export class Diagram {
  #box;
  #rows = null;
  #count = 0;
  #began = 0;

  constructor(box) {
    this.#box = box;
  }

  // Empties the drawing for another conversation.
  begin() {
    const heads = element("div", "lifelines");
    heads.append(...LIFELINES.map((name) => element("span", "", name)));
    this.#rows = element("ol", "rows");
    this.#rows.setAttribute("aria-label", "What was said, the oldest first");
    this.#count = 0;
    this.#box.replaceChildren(heads, this.#rows);
  }

  // Adds what is new; rows that are known are passed over, since a stream that was cut tells everything again.
  add(rows, isLive) {
    for (const row of rows) {
      if (row.n < this.#count) continue;
      if (this.#count === 0) this.#began = Date.parse(row.at);
      this.#count = row.n + 1;
      this.#rows.append(this.#draw(row, isLive));
    }
    if (rows.length > 0 && isLive) this.#box.scrollTop = this.#box.scrollHeight;
  }

  #draw(row, isLive) {
    const [from, to] = row.way.split(">");
    const item = element("li", `row ${KINDS[row.kind] ?? "call"} from-${from} to-${to}${isLive ? " is-new" : ""}`);
    const button = element("button");
    button.type = "button";
    button.dataset.testid = "diagram-row";
    button.dataset.kind = row.kind;
    const spoken = from === to ? `${KINDS[row.kind]}: ` : `${from} to ${to}, ${KINDS[row.kind]}: `;
    const seconds = ((Date.parse(row.at) - this.#began) / 1000).toFixed(2);
    const words = element("span", "words");
    words.append(element("span", "unseen", spoken), title(row.title));
    words.append(element("span", "time", `+${seconds} s`));
    button.append(words, element("span", "arrow"));
    item.append(button);
    const text = element("pre", "", JSON.stringify(row.body, null, 2));
    text.hidden = true;
    text.tabIndex = 0;
    text.id = `row-${row.n}`;
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", text.id);
    button.addEventListener("click", () => {
      text.hidden = !text.hidden;
      button.setAttribute("aria-expanded", String(!text.hidden));
    });
    item.append(text);
    return item;
  }
}

// Names of calls and events may be broken where they have a joint.
function title(text) {
  const made = element("span", "title");
  for (const part of text.split(/(?<=[/_])/)) made.append(part, document.createElement("wbr"));
  return made;
}

function element(name, classes = "", text = "") {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  if (text) made.textContent = text;
  return made;
}
