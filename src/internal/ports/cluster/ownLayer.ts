/**
 * Builds Effect's constant layers again for each layer of this package.
 */
import * as Layer from "effect/Layer"

/**
 * Makes a layer that builds another one with all of its parts, once for each place that is given this layer. Effect builds
 * a constant such as `Sharding.layer` once for a whole program. A second store of the program would get the cluster of the
 * first.
 */
export const ownLayer = <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
  Layer.effectContext(Layer.build(Layer.fresh(layer)))
