/**
 * A model that the page cannot run. Its message says what was given, what is needed and what to do;
 * the page adds the link to lesson 14.
 */
export class ModelError extends Error {}

/** @param {string} message @param {unknown} cause @returns {ModelError} */
export function modelError(message, cause) {
  return new ModelError(message, { cause });
}
