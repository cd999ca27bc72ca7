/** For those who test code with locks, and for authors of backends. */
export * from './conformance.ts'
export * from './faults.ts'
export * from './simulated.ts'
