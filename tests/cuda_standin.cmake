# The CUDA backend as a whole, on stand-ins for NVIDIA's libraries: host code and kernels are those of ops/cuda. A program that loads
# it in place of libpawl_cuda.so runs the whole CUDA path on a CPU (decision 0042).
set(standin ${CMAKE_CURRENT_SOURCE_DIR}/cuda_on_cpu)
file(GLOB host_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/ops/cuda/*.c)
set_property(SOURCE ${PROJECT_SOURCE_DIR}/ops/cuda/device.c APPEND PROPERTY COMPILE_DEFINITIONS PAWL_CUDA_PART=${cuda_interface})
add_library(pawl_cuda_standin MODULE ${host_sources} ${standin}/runtime_device.c ${standin}/runtime_graphs.c ${standin}/runtime_memory.c
            ${standin}/runtime_streams.c ${standin}/runtime_times.c ${standin}/cublaslt.c ${standin}/cublaslt_algorithms.c ${standin}/cudnn.c
            ${standin}/cudnn_compute.c ${standin}/nccl.c)
target_include_directories(pawl_cuda_standin BEFORE PRIVATE ${standin}/include)
target_compile_options(pawl_cuda_standin PRIVATE -O2)
target_compile_definitions(pawl_cuda_standin PRIVATE PAWL_CUDNN_LIBRARY="$<TARGET_FILE:pawl_cuda_standin>")
add_dependencies(pawl_cuda_standin pawl_cuda_on_cpu)
target_link_libraries(pawl_cuda_standin PRIVATE pawl_common MPI::MPI_C ${CMAKE_DL_LIBS} $<TARGET_FILE:pawl_cuda_on_cpu>)
set_target_properties(pawl_cuda_standin PROPERTIES LINKER_LANGUAGE CXX C_VISIBILITY_PRESET hidden POSITION_INDEPENDENT_CODE ON)

# pawl, computing on it.
pawl_program(standin_pawl SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/e2e/standin_pawl.c)
pawl_loads_parts(test_gpu)
add_library(pawl_cuda_other MODULE ${standin}/other_part.c)
target_link_libraries(pawl_cuda_other PRIVATE pawl_common)
target_compile_definitions(test_gpu PRIVATE PAWL_OTHER_PART="$<TARGET_FILE:pawl_cuda_other>")
add_dependencies(test_gpu pawl_cuda_other)
pawl_script(cuda_interface 60 ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR} -DSCRATCH=${CMAKE_CURRENT_BINARY_DIR}/interface
  -P ${standin}/interface_test.cmake)
foreach(program standin_pawl test_cuda_attention test_cuda_graphs test_cuda_head test_cuda_host test_cuda_products test_nccl test_overlap test_snapshot)
  pawl_loads_parts(${program})
  target_sources(${program} PRIVATE ${standin}/patient_mpi.c)
  target_compile_definitions(${program} PRIVATE PAWL_STANDIN="$<TARGET_FILE:pawl_cuda_standin>")
  add_dependencies(${program} pawl_cuda_standin)
endforeach()

# The same host code against NVIDIA's own headers, where they are installed: what the stand-ins' headers got wrong does not compile.
find_path(CUDA_HEADERS cublasLt.h PATHS /usr/local/cuda/include)
find_path(NCCL_HEADERS nccl.h PATHS /usr/local/cuda/include)
find_path(CUDNN_HEADERS cudnn.h PATHS /usr/local/cuda/include)
if(CUDA_HEADERS)
  add_library(pawl_cuda_headers OBJECT ${host_sources})
  target_include_directories(pawl_cuda_headers SYSTEM PRIVATE ${CUDA_HEADERS})
  target_link_libraries(pawl_cuda_headers PRIVATE pawl_common)
  if(NCCL_HEADERS)
    target_sources(pawl_cuda_headers PRIVATE ${standin}/nccl_abi.c)
    target_include_directories(pawl_cuda_headers SYSTEM PRIVATE ${NCCL_HEADERS})
  endif()
  if(CUDNN_HEADERS)
    target_sources(pawl_cuda_headers PRIVATE ${standin}/cudnn_abi.c)
    target_include_directories(pawl_cuda_headers SYSTEM PRIVATE ${CUDNN_HEADERS})
  endif()
endif()

# The runtime's stand-in itself.
file(GLOB runtime CONFIGURE_DEPENDS ${standin}/runtime_*.c)
pawl_program(test_standin SOURCES ${standin}/standin_test.c ${runtime} LIBS pawl_cuda_on_cpu PkgConfig::CMOCKA)
target_include_directories(test_standin BEFORE PRIVATE ${standin}/include)
add_dependencies(c_tests test_standin)
add_test(NAME test_standin COMMAND test_standin)
set_tests_properties(test_standin PROPERTIES ENVIRONMENT "${PAWL_TEST_ENV}" TIMEOUT 60)

# What cuBLASLt itself can be asked without a GPU, where it is installed.
find_library(CUBLASLT_LIBRARY NAMES cublasLt PATHS /usr/local/cuda/lib64 /usr/local/cuda/lib)
if(CUDA_HEADERS AND CUBLASLT_LIBRARY)
  pawl_program(cublaslt_settings SOURCES cublaslt_settings.c ${PROJECT_SOURCE_DIR}/ops/cuda/gemm_settings.c)
  target_include_directories(cublaslt_settings SYSTEM PRIVATE ${CUDA_HEADERS})
  target_link_libraries(cublaslt_settings PRIVATE ${CUBLASLT_LIBRARY})
  pawl_script(cublaslt_settings 60 $<TARGET_FILE:cublaslt_settings>)
endif()

pawl_script(e2e_cuda_graphs 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cuda_graphs.py)
pawl_script(e2e_cuda_standin 600 ${PAWL_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cuda_standin.py)
pawl_script(e2e_cuda_head 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cuda_head.py)
pawl_script(e2e_cuda_overlap 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cuda_overlap.py)
pawl_script(e2e_products 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/products.py)
pawl_script(e2e_gelu 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/gelu.py)
pawl_script(e2e_cuda_memory 300 ${PAWL_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/e2e/cuda_memory.py)

# cuDNN's own opinion of our graphs, where it is installed: it needs no GPU, but a library of the driver's name to load.
find_library(CUDNN_LIBRARY NAMES libcudnn.so.9 PATHS /usr/local/cuda/lib64 /usr/local/cuda/lib)
find_library(CUDA_STUB NAMES cuda PATHS /usr/local/cuda/lib64/stubs /usr/local/cuda/lib/stubs)
pawl_program(cudnn_support SOURCES cudnn_support.c ${PROJECT_SOURCE_DIR}/ops/cuda/cudnn.c ${PROJECT_SOURCE_DIR}/ops/cuda/cudnn_graph.c)
cmake_path(GET CUDA_STUB PARENT_PATH stub_folder)
pawl_script(cudnn_support 60 ${CMAKE_COMMAND} -E env LD_LIBRARY_PATH=${stub_folder} $<TARGET_FILE:cudnn_support>
  $<IF:$<BOOL:${CUDA_STUB}>,${CUDNN_LIBRARY},NOTFOUND> ${standin}/h200.json)
set_tests_properties(cudnn_support PROPERTIES SKIP_RETURN_CODE 77)
# The cases of ops themselves, with a GPU behind them (e2e/mirrored.c): on a stand-in one of them, and one in gpu_tests_script; on a GPU all.
pawl_script(standin_test_ops_device 120 ${CMAKE_COMMAND} -E env PAWL_TEST_DEVICE=cuda PAWL_CUDA_PART=$<TARGET_FILE:pawl_cuda_standin> $<TARGET_FILE:test_ops_device>)
