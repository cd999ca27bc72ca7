/** Call `work`; what it throws at once becomes a rejection. For whoever hands a promise on, `async` would delay it. */
export function promised<T>(work: () => Promise<T>): Promise<T> {
  try {
    return work()
  } catch (error) {
    return Promise.reject(error)
  }
}
