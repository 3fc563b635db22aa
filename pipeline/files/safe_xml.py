"""XML of anybody -> its elements, without the entities by which a small file can fill the memory."""

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers.expat import ParserCreate


def parsed_xml(content: bytes) -> Element:
    """Return the outermost element; ValueError where entities are declared, ExpatError where it is no XML."""
    builder, parser = TreeBuilder(), ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity  # a few lines of them may stand for gigabytes
    parser.buffer_text = True
    parser.Parse(content, True)
    return builder.close()


def _refuse_entity(name: str, *_: object) -> None:
    raise ValueError(f"it declares the entity {name!r}, which an annotation does not need: remove its DOCTYPE")
