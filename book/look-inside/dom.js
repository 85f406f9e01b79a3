/** The elements of this page: their ids start with "look-". */
export { element } from "../try-it/dom.js";
import { element } from "../try-it/dom.js";

export const byId = (id) => document.getElementById(`look-${id}`);

/** The id of an element of this page. */
export const idOf = (id) => `look-${id}`;

/**
 * Radio buttons in one line.
 *
 * @param {string} id of the fieldset
 * @param {[string, string][]} choices value and text
 * @param {(value: string) => void} onChoice
 * @returns {(value: string) => void} chooses without asking anybody
 */
export function radios(id, choices, onChoice) {
  const inputs = choices.map(([value, text]) => {
    const input = element("input", { type: "radio", name: idOf(id), value });
    input.id = idOf(`${id}-${value}`);
    input.addEventListener("change", () => onChoice(value));
    const label = element("label", { htmlFor: input.id }, text);
    byId(id).querySelector(".line").append(element("span", { className: "radio" }, input, label));
    return input;
  });
  return (value) => inputs.forEach((input) => { input.checked = input.value === value; });
}
