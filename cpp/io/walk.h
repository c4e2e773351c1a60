#pragma once

#include <type_traits>

#include "onnx_headers.h"

namespace onnxforge::io {

/// Calls `f(TensorProto&, bool is_initializer)` for every tensor of a graph, a node list or a model: initialisers, the
/// parts of sparse ones, and attributes; bodies and local functions included. For const and mutable messages alike.
template <typename Nodes, typename F>
void ForEachTensorOfNodes(Nodes& nodes, F& f);

template <typename Sparse, typename F>
void ForEachTensorOfSparse(Sparse& sparse, F& f) {
  if constexpr (std::is_const_v<Sparse>) {
    f(sparse.values(), false);
    f(sparse.indices(), false);
  } else {
    f(*sparse.mutable_values(), false);
    f(*sparse.mutable_indices(), false);
  }
}

template <typename Graph, typename F>
void ForEachTensorOfGraph(Graph& graph, F& f) {
  if constexpr (std::is_const_v<Graph>) {
    for (const auto& tensor : graph.initializer()) f(tensor, true);
    for (const auto& sparse : graph.sparse_initializer()) ForEachTensorOfSparse(sparse, f);
    ForEachTensorOfNodes(graph.node(), f);
  } else {
    for (auto& tensor : *graph.mutable_initializer()) f(tensor, true);
    for (auto& sparse : *graph.mutable_sparse_initializer()) ForEachTensorOfSparse(sparse, f);
    ForEachTensorOfNodes(*graph.mutable_node(), f);
  }
}

template <typename F>
void ForEachTensorOfAttribute(const onnx::AttributeProto& attribute, F& f) {
  if (attribute.has_t()) f(attribute.t(), false);
  if (attribute.has_g()) ForEachTensorOfGraph(attribute.g(), f);
  if (attribute.has_sparse_tensor()) ForEachTensorOfSparse(attribute.sparse_tensor(), f);
  for (const auto& tensor : attribute.tensors()) f(tensor, false);
  for (const auto& graph : attribute.graphs()) ForEachTensorOfGraph(graph, f);
  for (const auto& sparse : attribute.sparse_tensors()) ForEachTensorOfSparse(sparse, f);
}

template <typename F>
void ForEachTensorOfAttribute(onnx::AttributeProto& attribute, F& f) {
  if (attribute.has_t()) f(*attribute.mutable_t(), false);
  if (attribute.has_g()) ForEachTensorOfGraph(*attribute.mutable_g(), f);
  if (attribute.has_sparse_tensor()) ForEachTensorOfSparse(*attribute.mutable_sparse_tensor(), f);
  for (auto& tensor : *attribute.mutable_tensors()) f(tensor, false);
  for (auto& graph : *attribute.mutable_graphs()) ForEachTensorOfGraph(graph, f);
  for (auto& sparse : *attribute.mutable_sparse_tensors()) ForEachTensorOfSparse(sparse, f);
}

template <typename Nodes, typename F>
void ForEachTensorOfNodes(Nodes& nodes, F& f) {
  for (auto& node : nodes) {
    if constexpr (std::is_const_v<Nodes>) {
      for (const auto& attribute : node.attribute()) ForEachTensorOfAttribute(attribute, f);
    } else {
      for (auto& attribute : *node.mutable_attribute()) ForEachTensorOfAttribute(attribute, f);
    }
  }
}

template <typename F>
void ForEachTensor(const onnx::ModelProto& model, F f) {
  ForEachTensorOfGraph(model.graph(), f);
  for (const auto& function : model.functions()) ForEachTensorOfNodes(function.node(), f);
}

template <typename F>
void ForEachTensor(onnx::ModelProto& model, F f) {
  ForEachTensorOfGraph(*model.mutable_graph(), f);
  for (auto& function : *model.mutable_functions()) ForEachTensorOfNodes(*function.mutable_node(), f);
}

}  // namespace onnxforge::io
