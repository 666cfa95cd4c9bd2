/** What to do about an error: mend a setting, mend what was asked, look for another job, try again, or ask
 * whoever knows (`refused`). */
export type ErrorCode = "settings" | "manifest" | "no-job" | "wrong-status" | "temporary" | "webhook" | "refused";

/** Every error of this module. No message has a secret in it, nor the query of an address. */
export class PhotoJobError extends Error {
  /** How long to wait before it is tried again, if the server says so; in milliseconds.
   * @internal */
  _least = 0;
  override name = "PhotoJobError";
  constructor(
    readonly code: ErrorCode,
    message: string,
  ) {
    super(message);
  }
}

export const failed = (code: ErrorCode, message: string) => new PhotoJobError(code, message);
