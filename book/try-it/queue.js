/** Two ways to keep asynchronous work from getting in its own way. */

/**
 * @returns {(job: () => Promise<T>) => Promise<T>} a function that runs its jobs one after the
 * other, in the order in which they came; a job that fails does not stop the next one
 * @template T
 */
export function oneAtATime() {
  let last = Promise.resolve();
  return (job) => {
    const result = last.then(job);
    last = result.catch(() => {});
    return result;
  };
}

/**
 * @param {() => Promise<void>} job
 * @returns {() => Promise<void>} a function that runs the job; what is asked for while it runs is
 * done by one more run after it, however often it was asked for
 */
export function latestOnly(job) {
  let running = null;
  let again = false;
  const run = async () => {
    do {
      again = false;
      await job();
    } while (again);
  };
  return () => {
    again = true;
    running ??= run().finally(() => {
      running = null;
    });
    return running;
  };
}

/** Let the browser paint and handle events. */
export const breathe = () => new Promise((resolve) => {
  setTimeout(resolve);
});
