/** Where the control plane's admin socket is: the option, or the variable that a control plane itself reads. */
export function adminSocket(option: string | undefined): string {
  const socket = option ?? process.env["COUNTERSIGN_ADMIN_SOCKET"];
  if (socket === undefined || socket === "") {
    throw new Error("which control plane? Give --socket <path>, or set COUNTERSIGN_ADMIN_SOCKET (it is admin.sock in the data folder)");
  }
  return socket;
}
