# What the program and the CUDA backend that it loads must have in common: a digest of every header that both are compiled with. It is
# part of the name under which the backend is looked for, so that one of another commit is not found, let alone called.
function(pawl_cuda_interface root out)
  file(GLOB headers RELATIVE ${root} ${root}/core/*.h ${root}/ops/*.h ${root}/ops/cuda/*.h)
  list(SORT headers)
  set(all "${PROJECT_VERSION}\n")
  foreach(header ${headers})
    file(SHA256 ${root}/${header} digest)
    string(APPEND all "${header} ${digest}\n")
  endforeach()
  string(SHA256 digest "${all}")
  string(SUBSTRING ${digest} 0 16 digest)
  set(${out} pawl_cuda_part_${digest} PARENT_SCOPE)
  if(NOT CMAKE_SCRIPT_MODE_FILE)
    list(TRANSFORM headers PREPEND ${root}/)
    set_property(DIRECTORY ${root} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers}) # found anew when one changes
  endif()
endfunction()
