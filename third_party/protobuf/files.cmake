# Every file of protobuf 3.20 and 3.21 that the recipe compiles or installs, relative to
# src/google/protobuf. tests/packaging/test_protobuf_files.py holds these lists against the release's own.
#
# Input: PROTOBUF_VERSION.  Output: the lists below.
#
# Each *_UNITY_<GROUP> list is compiled as one translation unit: these files share nearly all of their
# headers, which cost more than their code. Files whose file-local names collide stand in different groups.

set(PROTOBUF_LITE_UNITY_MESSAGES
    any_lite.cc
    arena.cc
    arenastring.cc
    arenaz_sampler.cc
    extension_set.cc
    generated_enum_util.cc
    generated_message_tctable_lite.cc
    generated_message_util.cc
    implicit_weak_message.cc
    inlined_string_field.cc
    map.cc
    message_lite.cc
    parse_context.cc
    repeated_field.cc
    repeated_ptr_field.cc
    wire_format_lite.cc)

set(PROTOBUF_LITE_UNITY_SUPPORT
    io/coded_stream.cc
    io/io_win32.cc
    io/strtod.cc
    io/zero_copy_stream.cc
    io/zero_copy_stream_impl.cc
    io/zero_copy_stream_impl_lite.cc
    stubs/bytestream.cc
    stubs/common.cc
    stubs/int128.cc
    stubs/status.cc
    stubs/statusor.cc
    stubs/stringpiece.cc
    stubs/stringprintf.cc
    stubs/structurally_valid.cc
    stubs/strutil.cc
    stubs/time.cc)

set(PROTOBUF_FULL_UNITY_DESCRIPTORS
    descriptor.cc
    descriptor_database.cc)

set(PROTOBUF_FULL_UNITY_REFLECTION
    any.cc
    extension_set_heavy.cc
    generated_message_bases.cc
    generated_message_reflection.cc
    generated_message_tctable_full.cc
    map_field.cc
    message.cc
    reflection_ops.cc
    service.cc
    unknown_field_set.cc
    wire_format.cc)

set(PROTOBUF_FULL_UNITY_TEXT
    compiler/importer.cc
    compiler/parser.cc
    dynamic_message.cc
    io/gzip_stream.cc
    io/printer.cc
    io/tokenizer.cc
    stubs/substitute.cc
    text_format.cc)

set(PROTOBUF_FULL_UNITY_JSON
    util/internal/datapiece.cc
    util/internal/default_value_objectwriter.cc
    util/internal/error_listener.cc
    util/internal/field_mask_utility.cc
    util/internal/json_escaping.cc
    util/internal/json_objectwriter.cc
    util/internal/json_stream_parser.cc
    util/internal/object_writer.cc
    util/internal/proto_writer.cc
    util/internal/protostream_objectwriter.cc
    util/internal/type_info.cc
    util/internal/utility.cc
    util/json_util.cc
    util/type_resolver_util.cc)

set(PROTOBUF_FULL_UNITY_UTIL
    util/delimited_message_util.cc
    util/field_comparator.cc
    util/field_mask_util.cc
    util/internal/protostream_objectsource.cc
    util/message_differencer.cc
    util/time_util.cc)

# Generated files name their tables alike, so each is a translation unit of its own.
set(PROTOBUF_FULL_DESCRIPTOR descriptor.pb.cc)
set(PROTOBUF_FULL_GENERATED
    any.pb.cc
    api.pb.cc
    duration.pb.cc
    empty.pb.cc
    field_mask.pb.cc
    source_context.pb.cc
    struct.pb.cc
    timestamp.pb.cc
    type.pb.cc
    wrappers.pb.cc)

# protoc: the command line, and of the languages C++ and Python.
set(PROTOBUF_PROTOC_UNITY_COMMAND_LINE
    compiler/code_generator.cc
    compiler/command_line_interface.cc
    compiler/plugin.cc
    compiler/subprocess.cc)
# 3.20's zip_writer.h has no include guard.
set(PROTOBUF_PROTOC_ALONE
    compiler/plugin.pb.cc
    compiler/zip_writer.cc)

# 3.21 took the language out of its generators' file names.
if(PROTOBUF_VERSION VERSION_LESS 3.21)
  set(_cpp cpp_)
  set(_python python_)
else()
  set(_cpp "")
  set(_python "")
endif()

set(PROTOBUF_PROTOC_UNITY_CPP
    compiler/cpp/${_cpp}enum.cc
    compiler/cpp/${_cpp}enum_field.cc
    compiler/cpp/${_cpp}extension.cc
    compiler/cpp/${_cpp}field.cc
    compiler/cpp/${_cpp}file.cc
    compiler/cpp/${_cpp}generator.cc
    compiler/cpp/${_cpp}helpers.cc
    compiler/cpp/${_cpp}map_field.cc
    compiler/cpp/${_cpp}message.cc
    compiler/cpp/${_cpp}message_field.cc
    compiler/cpp/${_cpp}padding_optimizer.cc
    compiler/cpp/${_cpp}parse_function_generator.cc
    compiler/cpp/${_cpp}primitive_field.cc
    compiler/cpp/${_cpp}service.cc
    compiler/cpp/${_cpp}string_field.cc)

set(PROTOBUF_PROTOC_UNITY_PYTHON
    compiler/python/${_python}generator.cc
    compiler/python/${_python}helpers.cc
    compiler/python/${_python}pyi_generator.cc)

# The library's public headers; libprotoc's are not among them, because it is not installed.
set(PROTOBUF_HEADERS
    any.h
    any.pb.h
    api.pb.h
    arena.h
    arena_impl.h
    arenastring.h
    arenaz_sampler.h
    compiler/importer.h
    compiler/parser.h
    descriptor.h
    descriptor.pb.h
    descriptor_database.h
    duration.pb.h
    dynamic_message.h
    empty.pb.h
    explicitly_constructed.h
    extension_set.h
    extension_set_inl.h
    field_access_listener.h
    field_mask.pb.h
    generated_enum_reflection.h
    generated_enum_util.h
    generated_message_bases.h
    generated_message_reflection.h
    generated_message_tctable_decl.h
    generated_message_tctable_impl.h
    generated_message_util.h
    has_bits.h
    implicit_weak_message.h
    inlined_string_field.h
    io/coded_stream.h
    io/gzip_stream.h
    io/io_win32.h
    io/printer.h
    io/strtod.h
    io/tokenizer.h
    io/zero_copy_stream.h
    io/zero_copy_stream_impl.h
    io/zero_copy_stream_impl_lite.h
    map.h
    map_entry.h
    map_entry_lite.h
    map_field.h
    map_field_inl.h
    map_field_lite.h
    map_type_handler.h
    message.h
    message_lite.h
    metadata.h
    metadata_lite.h
    parse_context.h
    port.h
    port_def.inc
    port_undef.inc
    reflection.h
    reflection_ops.h
    repeated_field.h
    repeated_ptr_field.h
    service.h
    source_context.pb.h
    struct.pb.h
    stubs/bytestream.h
    stubs/callback.h
    stubs/casts.h
    stubs/common.h
    stubs/hash.h
    stubs/logging.h
    stubs/macros.h
    stubs/map_util.h
    stubs/mutex.h
    stubs/once.h
    stubs/platform_macros.h
    stubs/port.h
    stubs/status.h
    stubs/stl_util.h
    stubs/stringpiece.h
    stubs/strutil.h
    stubs/template_util.h
    text_format.h
    timestamp.pb.h
    type.pb.h
    unknown_field_set.h
    util/delimited_message_util.h
    util/field_comparator.h
    util/field_mask_util.h
    util/json_util.h
    util/message_differencer.h
    util/time_util.h
    util/type_resolver.h
    util/type_resolver_util.h
    wire_format.h
    wire_format_lite.h
    wrappers.pb.h)
if(PROTOBUF_VERSION VERSION_GREATER_EQUAL 3.21)
  list(APPEND PROTOBUF_HEADERS endian.h reflection_internal.h)
endif()

set(PROTOBUF_PROTOS
    any.proto
    api.proto
    compiler/plugin.proto
    descriptor.proto
    duration.proto
    empty.proto
    field_mask.proto
    source_context.proto
    struct.proto
    timestamp.proto
    type.proto
    wrappers.proto)
