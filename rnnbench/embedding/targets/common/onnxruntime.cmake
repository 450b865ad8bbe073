# ORT_INCLUDE and ORT_LIBRARY: from ONNXRUNTIME_ROOT, pkg-config, the system, or the Python wheel (which has no headers).
find_path(ORT_INCLUDE onnxruntime_c_api.h
  HINTS ENV ONNXRUNTIME_ROOT
  PATH_SUFFIXES include include/onnxruntime include/onnxruntime/core/session onnxruntime onnxruntime/core/session)
find_library(ORT_LIBRARY onnxruntime HINTS ENV ONNXRUNTIME_ROOT PATH_SUFFIXES lib lib64)
if(NOT ORT_INCLUDE OR NOT ORT_LIBRARY)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(ORT_PC QUIET libonnxruntime)
    find_path(ORT_INCLUDE onnxruntime_c_api.h HINTS ${ORT_PC_INCLUDE_DIRS})
    find_library(ORT_LIBRARY onnxruntime HINTS ${ORT_PC_LIBRARY_DIRS})
  endif()
endif()
if(NOT ORT_LIBRARY)
  execute_process(
    COMMAND python3 -c "import importlib.util as u; print(*u.find_spec('onnxruntime').submodule_search_locations)"
    OUTPUT_VARIABLE ORT_WHEEL OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  file(GLOB ORT_FOUND "${ORT_WHEEL}/capi/libonnxruntime.so*" "${ORT_WHEEL}/capi/libonnxruntime*.dylib")
  if(ORT_WHEEL AND ORT_FOUND)
    list(GET ORT_FOUND 0 ORT_LIBRARY)
  endif()
endif()
if(NOT ORT_INCLUDE)
  message(FATAL_ERROR "error: no onnxruntime_c_api.h: unpack a release of ONNX Runtime and set ONNXRUNTIME_ROOT to its folder")
endif()
message(STATUS "ONNX Runtime: ${ORT_INCLUDE}, ${ORT_LIBRARY}")

# The library is loaded at the start, so that any version will do; this is where it is looked for unless ONNXRUNTIME_ROOT has it.
function(use_onnxruntime target)
  target_include_directories(${target} SYSTEM PRIVATE ${ORT_INCLUDE})
  target_link_libraries(${target} PRIVATE ${CMAKE_DL_LIBS})
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_SOURCE_DIR})
  if(ORT_LIBRARY)
    target_compile_definitions(${target} PRIVATE ORT_LIBRARY="${ORT_LIBRARY}")
  endif()
endfunction()
