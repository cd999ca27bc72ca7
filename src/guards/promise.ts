/** What may be a promise or not: drivers and handlers come as both. */

/** Use a value when it is there: at once, if it is. */
export function whenThere<A, B>(value: A | PromiseLike<A>, use: (value: A) => B | PromiseLike<B>): B | PromiseLike<B> {
  return isPromise(value) ? Promise.resolve(value).then(use) : use(value)
}

export function isPromise<A>(value: A | PromiseLike<A>): value is PromiseLike<A> {
  return typeof (value as Partial<PromiseLike<A>> | null | undefined)?.then === 'function'
}
