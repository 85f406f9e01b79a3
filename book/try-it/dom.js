/** Making elements, in one line each. */

/**
 * @param {string} tag
 * @param {object} properties of the element
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** The element with this id; the page's own start with "tryit-". */
export const byId = (id) => document.getElementById(`tryit-${id}`);
