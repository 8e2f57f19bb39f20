"""Names of the inputs of an ONNX graph: those of the columns of a data frame."""


def name_inputs(graph, names):
    """Rename the inputs of a graph.

    skl2onnx makes identifiers of their names: "petal width (cm)" becomes "petal_width__cm_", and
    "a b" becomes "a_b1" beside "a_b". Runtimes take any name. Another value that has one of the
    names, such as an output, gets underscores appended.

    Parameters
    ----------
    graph : onnx.GraphProto
        Changed in place.
    names : list of str
        One for each input, in their order.
    """
    values = _values(graph)
    new = dict(zip((value.name for value in graph.input), names, strict=True))
    known = {*names, *values}
    for name in sorted(values.intersection(names).difference(new)):
        new[name] = name
        while new[name] in known:
            new[name] += "_"
        known.add(new[name])
    _rename(graph, new)


def _subgraphs(graph):
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.g] if attribute.HasField("g") else attribute.graphs


def _values(graph):
    """Return the names of all values of a graph and its subgraphs."""
    names = {value.name for value in (*graph.input, *graph.initializer)}
    names.update(name for node in graph.node for name in node.output)
    return names.union(*map(_values, _subgraphs(graph)))


def _rename(graph, new):
    """Rename values of a graph and its subgraphs, in which each name stands for one value."""
    for value in (*graph.input, *graph.initializer, *graph.value_info, *graph.output):
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for subgraph in _subgraphs(graph):
        _rename(subgraph, new)
