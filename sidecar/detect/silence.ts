/** Connections that say nothing: of what declares no protocol, that means that the server is to speak first. */

const detectionMs = 200;

/**
 * Calls `onSilent` after that long, unless the returned function is called before. What came while the process was busy is read
 * first: a sidecar that is late must not take an HTTP connection for another.
 */
export function watchSilence(onSilent: () => void): () => void {
  let last: NodeJS.Immediate | undefined;
  // Timers come before reads in a turn of the event loop, immediates behind them.
  const timer = setTimeout(() => {
    last = setImmediate(onSilent);
  }, detectionMs).unref();
  return () => {
    clearTimeout(timer);
    clearImmediate(last);
  };
}
