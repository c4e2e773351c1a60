# Highway: one SIMD kernel source, dispatched at run time. Small enough to be built here always.
#
# Input: ONNXFORGE_HIGHWAY_SOURCE.  Output: target hwy; ONNXFORGE_HIGHWAY_VERSION.
include_guard(GLOBAL)

# onnxforge_highway_version(<source> <out>): from the HWY_MAJOR, HWY_MINOR and HWY_PATCH of base.h.
function(onnxforge_highway_version source out)
  file(STRINGS "${source}/hwy/base.h" lines REGEX "^#define HWY_(MAJOR|MINOR|PATCH) [0-9]+$")
  list(TRANSFORM lines REPLACE "^.* ([0-9]+)$" "\\1")
  list(JOIN lines "." version)
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

onnxforge_source(highway HIGHWAY_SOURCE)
onnxforge_add_recipe(highway)
onnxforge_map_folder("${HIGHWAY_SOURCE}" highway)
onnxforge_highway_version("${HIGHWAY_SOURCE}" ONNXFORGE_HIGHWAY_VERSION)
