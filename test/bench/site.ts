/** Where one work is set up: its folder, its processes and, where peers are compared, the application that all stand in front of. */
import type { Application } from "./application.ts";
import type { Certificates } from "./certificates.ts";
import type { Processes } from "./processes.ts";

export interface Place {
  /** For files; each peer makes its own folder. Removed at the end of the work. */
  readonly folder: string;
  /** Absolute path of the folder for CPU profiles of our sidecars, or undefined for none. */
  readonly profile: string | undefined;
  /** Begins the names of those. */
  readonly workName: string;
  readonly processes: Processes;
  readonly signal: AbortSignal;
}

export interface Site extends Place {
  readonly certificates: Certificates;
  readonly application: Application;
}
