/** Arrays of plain numbers that grow: what is kept in them is no work for the garbage collector. */

/** The same with as much room again. */
export function doubled<T extends Float64Array | Int32Array>(array: T): T {
  const larger = (
    array instanceof Int32Array
      ? new Int32Array(array.length * 2)
      : new Float64Array(array.length * 2)
  ) as T
  larger.set(array)
  return larger
}
