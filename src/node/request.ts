/** Moved to model/: what is forwarded between nodes is part of the wire. Import it from there. */
export * from '../model/request.ts'
