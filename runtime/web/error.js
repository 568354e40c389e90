/** What everything here throws: one line that says what is wrong and how to mend it. */
export class SbnError extends Error {
  name = "SbnError";
}

export function fail(message) {
  throw new SbnError(message);
}
