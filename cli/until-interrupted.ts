/** Work that Ctrl-C ends. */

/** Runs `work` until it ends or the first SIGINT or SIGTERM, which aborts its signal; then calls `onInterrupted` and sets status 130. */
export async function untilInterrupted(work: (signal: AbortSignal) => Promise<void>, onInterrupted: () => void): Promise<void> {
  const controller = new AbortController();
  const abort = () => {
    controller.abort();
  };
  process.once("SIGINT", abort);
  process.once("SIGTERM", abort);
  try {
    await work(controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    onInterrupted();
    process.exitCode = 130;
  } finally {
    process.removeListener("SIGINT", abort);
    process.removeListener("SIGTERM", abort);
  }
}
