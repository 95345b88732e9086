/**
 * The services of Node.js that read and write files.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as Layer from "effect/Layer"

/** Provides `FileSystem` and `Path`. */
export const layer = Layer.mergeAll(NodeFileSystem.layer, NodePath.layer)
