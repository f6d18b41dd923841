/** This release of Quorate; package.json says the same, and a test compares them. */
export const RELEASE = '0.1.0'
