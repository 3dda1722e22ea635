/** What load is aimed at. */
export interface Target {
  /** `http://127.0.0.1:8080` */
  readonly origin: string;
  /** `Host` or `:authority` to send, where it is not the origin's. */
  readonly host: string | undefined;
}
