"""Renames the inputs of an ONNX graph to the column names of a DataFrame."""


def name_inputs(graph, names):
    """Rename the inputs of a graph.

    skl2onnx converts column names to identifiers: "petal width (cm)" becomes "petal_width__cm_",
    and "a b" becomes "a_b1" if there is an "a_b". Runtimes accept any name. If another value, such
    as an output, has one of the names, underscores are appended to its name.

    Parameters
    ----------
    graph : onnx.GraphProto
        The graph, which is changed in place.
    names : list of str
        The new names, one per input.
    """
    values = _named_values(graph)
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


def _named_values(graph):
    """Return the names of all values of a graph and its subgraphs."""
    names = {value.name for value in (*graph.input, *graph.initializer)}
    names.update(name for node in graph.node for name in node.output)
    return names.union(*map(_named_values, _subgraphs(graph)))


def _rename(graph, new):
    """Rename values of a graph and its subgraphs, in which names must be unique."""
    for value in (*graph.input, *graph.initializer, *graph.value_info, *graph.output):
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for subgraph in _subgraphs(graph):
        _rename(subgraph, new)
