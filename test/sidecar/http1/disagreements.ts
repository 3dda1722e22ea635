/** Inputs on which this codec and Node's disagreed once. */
export interface Disagreement {
  readonly text: string;
  /** Of the request that `text` answers; absent where `text` is requests. */
  readonly method?: string;
  readonly upgrade?: boolean;
}

export const disagreements: readonly Disagreement[] = [
  { text: "POST / HTTP/1.1\r\nHost: a\r\nProxy-Connection: close\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n" },
  { text: "POST / HTTP/1.1\r\nHost: a\r\nExpect:\r\n\r\n" },
  { text: "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\nTransfer-Encoding: chunked\r\n\r\n1\t;a\r\na\r\n0\r\n\r\n" },
  { text: "HTTP/1.1 101 Switching Protocols\r\n\r\nraw", method: "GET", upgrade: true },
  { text: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw", method: "GET", upgrade: true },
  { text: "HTTP/1.1 100 C\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", method: "GET" },
  { text: "HTTP/1.1 103 E\r\nProxy-Connection: close\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", method: "GET" },
];
