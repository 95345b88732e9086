/**
 * Runs durable workflows in one process at a time, with their state in a store.
 *
 * @since 0.2.0
 */
import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import type * as MessageStorage from "effect/cluster/MessageStorage"
import type * as Runners from "effect/cluster/Runners"
import type * as Sharding from "effect/cluster/Sharding"
import type * as Config from "effect/Config"
import * as Layer from "effect/Layer"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import type { OpenError } from "../Collection.ts"
import { ownLayer } from "../internal/ports/ownLayer.ts"
import type { Store } from "../Store.ts"
import * as SingleRunner from "./SingleRunner.ts"

/**
 * Provides Effect's `WorkflowEngine` with the store of the context, on a cluster that runs in one process at a time.
 *
 * **Details**
 *
 * Several processes can have the layer on one store that they share. One of them runs all workflows. `execute` of the others
 * saves the request and returns the result. When the first process has ended, another one continues its workflows.
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options?: SingleRunner.SingleRunnerOptions
): Layer.Layer<
  WorkflowEngine.WorkflowEngine | Sharding.Sharding | Runners.Runners | MessageStorage.MessageStorage,
  OpenError | Config.ConfigError,
  Store
> => ownLayer(ClusterWorkflowEngine.layer.pipe(Layer.provideMerge(SingleRunner.layer(options))))
