// @ts-check
// Show one of several alternatives: a chart by buttons, a sample by a slider. Without a script,
// all are shown.
{
  /** @param {HTMLElement} group */
  const alternatives = (group) =>
    /** @type {HTMLElement[]} */ ([...group.querySelectorAll("[data-label]")]);

  /** @param {HTMLElement[]} all @param {number} shown */
  const show = (all, shown) => all.forEach((one, number) => (one.hidden = number !== shown));

  for (const group of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-buttons]"))) {
    const all = alternatives(group);
    const bar = document.createElement("div");
    bar.className = "choice";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", group.dataset.buttons || "");
    const buttons = all.map((one, number) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = one.dataset.label || "";
      button.addEventListener("click", () => choose(number));
      bar.append(button);
      return button;
    });
    /** @param {number} number */
    const choose = (number) => {
      show(all, number);
      buttons.forEach((button, other) => button.setAttribute("aria-pressed", String(other === number)));
    };
    if (all.length > 1) group.prepend(bar);
    choose(0);
  }

  for (const group of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-slider]"))) {
    const all = alternatives(group);
    const bar = document.createElement("label");
    bar.className = "choice screen";
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = "0";
    slider.max = String(all.length - 1);
    slider.value = slider.max;
    slider.setAttribute("aria-label", group.dataset.slider || "");
    const output = document.createElement("output");
    const choose = () => {
      const number = Number(slider.value);
      const text = `${all[number].dataset.label} (${number + 1} of ${all.length})`;
      output.textContent = text;
      slider.setAttribute("aria-valuetext", text);
      show(all, number);
    };
    slider.addEventListener("input", choose);
    bar.append(slider, output);
    if (all.length > 1) group.prepend(bar);
    choose();
  }
}
