/** A queue is named for what it is of (`lock:a`), and those who use it call it `a`; here no two of them have one name. */
export function userNameOf(queue: string): string {
  return queue.slice(queue.indexOf(':') + 1)
}
