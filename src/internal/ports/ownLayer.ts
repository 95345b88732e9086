/**
 * Builds Effect's constant layers again for each layer of this package.
 */
import * as Layer from "effect/Layer"

/**
 * Makes a layer that builds another layer and all of its parts again. Effect builds a constant such as `Sharding.layer` once
 * for a whole program, so a second store of the program would get what was built for the first. The layer itself is built
 * once, wherever a program provides it.
 */
export const ownLayer = <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  Layer.effectContext(Layer.build(Layer.fresh(layer)))
