// Elements of the page.

export const element = (id) => document.getElementById(id);

/** A new element with properties, attributes and children; text is always text. */
export function make(tag, { attributes = {}, ...properties } = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
