# The CUDA backend, a shared object beside the program (ops/cuda_part.c loads it); what it calls of core/ is the program's own.
# Preset `cuda`.
option(PAWL_CUDA "Build the CUDA backend" OFF)
if(PAWL_CUDA)
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 90-virtual) # Ampere, Hopper; what comes later from PTX
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    find_program(CMAKE_CUDA_COMPILER nvcc PATHS /usr/local/cuda/bin)
  endif()
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  file(GLOB cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/cuda/*.c ${PROJECT_SOURCE_DIR}/ops/cuda/*.cu)
  add_library(pawl_cuda MODULE ${cuda_sources})
  target_link_libraries(pawl_cuda PRIVATE pawl_common CUDA::cudart_static CUDA::cublasLt)
  file(STRINGS ${PROJECT_SOURCE_DIR}/ops/cuda/nvcc.flags nvcc_flags)
  target_compile_options(pawl_cuda PRIVATE "$<$<COMPILE_LANGUAGE:CUDA>:SHELL:${nvcc_flags}>")
  set_target_properties(pawl_cuda PROPERTIES C_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON
    INSTALL_RPATH_USE_LINK_PATH ON)
  # NCCL and cuDNN, which are loaded by name, lie where CUDA's libraries do, and the loader need not know of that place.
  foreach(target pawl pawl_cuda)
    set_property(TARGET ${target} APPEND PROPERTY BUILD_RPATH ${CUDAToolkit_LIBRARY_DIR} /usr/local/cuda/lib64)
    set_property(TARGET ${target} APPEND PROPERTY INSTALL_RPATH ${CUDAToolkit_LIBRARY_DIR} /usr/local/cuda/lib64)
  endforeach()
  install(TARGETS pawl_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/pawl)
endif()
