/**
 * The application that every peer stands in front of: nginx, with answers from memory and files, the cheapest there is, so
 * that little of the machine goes to what is not measured. It reads a request's body whole before it answers.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { grpcFrame, grpcPath, mebibyte, mebibytePath, pageBody } from "./answers.ts";
import { startNginx } from "./peers/start-nginx.ts";
import { freePorts } from "./ports.ts";
import type { Processes } from "./processes.ts";
import { waitForCall, waitForPage } from "./ready.ts";

export interface Application {
  /** HTTP/1.1, on 127.0.0.1: `GET /` and `POST /mebibyte`. */
  readonly http1Port: number;
  /** HTTP/2 with prior knowledge: the gRPC method. */
  readonly grpcPort: number;
}

/** Resolves once it answers on both ports. */
export async function startApplication(parent: string, processes: Processes, signal: AbortSignal): Promise<Application> {
  const folder = join(parent, "application");
  await mkdir(folder);
  await writeFile(join(folder, "mebibyte"), Buffer.alloc(mebibyte, "x"));
  await writeFile(join(folder, "say"), grpcFrame(pageBody));
  const [http1Port = 0, grpcPort = 0] = await freePorts(2);
  // A static file is not for POST: the error page answers it all the same, with the file. The mirror has the body read before.
  const nginx = await startNginx(
    { folder: parent, processes },
    "application-nginx",
    `  default_type text/plain;
  client_max_body_size 8m;
  client_body_buffer_size 2m;
  open_file_cache max=16 inactive=1h;
  etag off;
  max_ranges 0;
  server {
    listen 127.0.0.1:${http1Port} backlog=1024;
    location = / { return 200 "${pageBody}"; }
    location = ${mebibytePath} { mirror /read; alias ${folder}/mebibyte; error_page 405 =200 /answer; }
    location = /answer { internal; alias ${folder}/mebibyte; }
    location = /read { internal; return 204; }
  }
  server {
    listen 127.0.0.1:${grpcPort} http2 backlog=1024;
    default_type application/grpc;
    location = ${grpcPath} { mirror /read; alias ${folder}/say; error_page 405 =200 /answer; }
    location = /answer { internal; alias ${folder}/say; add_header Last-Modified ""; add_trailer grpc-status 0; }
    location = /read { internal; return 204; }
  }
`,
  );
  await waitForPage("application", { origin: `http://127.0.0.1:${http1Port}`, host: undefined }, [nginx], signal);
  await waitForCall("application", { origin: `http://127.0.0.1:${grpcPort}`, host: undefined }, [nginx], signal);
  return { http1Port, grpcPort };
}
